//! "did you mean …?"

/// The one of `known` that `word` was most likely meant to be.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // words in a configuration are short; longer ones would only cost time
    if word.len() > 100 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    known
        .into_iter()
        .take(MAX_CANDIDATES)
        .map(|candidate| (likeness(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Help for a word that is not among `known`: the closest one, or the list of all.
pub fn help_for(word: &str, known: &[&str]) -> String {
    match closest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there is nothing to choose from".into(),
        None => format!("known: {}", known.join(", ")),
    }
}

/// More are not looked at: hostile files have thousands of names.
const MAX_CANDIDATES: usize = 200;

/// From 0 to 1. One slip of the fingers in a short word weighs more than it does by share of letters.
fn likeness(word: &str, candidate: &str) -> f64 {
    let is_near = candidate.len() > 2 && candidate.len().abs_diff(word.len()) <= 1;
    let is_slip = is_near && strsim::osa_distance(word, candidate) == 1;
    strsim::jaro_winkler(word, candidate).max(if is_slip { 0.9 } else { 0.0 })
}

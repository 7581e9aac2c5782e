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
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Help for a word that is not among `known`: the closest one, or the list of all.
pub fn help_for<'a>(word: &str, known: &[&'a str]) -> String {
    match closest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there is nothing to choose from".into(),
        None => format!("known: {}", known.join(", ")),
    }
}

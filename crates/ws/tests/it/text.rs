//! Streaming UTF-8 against the standard library's.

use proptest::prelude::*;
use ws::Utf8;

proptest! {
    #[test]
    fn any_split_agrees_with_std(text in text(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();

        let mut utf8 = Utf8::new();
        let mut failed = None;
        for pair in cuts.windows(2) {
            if let Err(at) = utf8.push(&text[pair[0]..pair[1]]) {
                failed = Some(pair[0] + at);
                break;
            }
        }
        prop_assert_eq!(failed, first_impossible_byte(&text));
        if failed.is_none() {
            prop_assert_eq!(utf8.is_complete(), std::str::from_utf8(&text).is_ok());
        }
    }
}

/// The first byte with which no valid text could go on: the shortest prefix that std calls wrong and not only
/// unfinished.
fn first_impossible_byte(text: &[u8]) -> Option<usize> {
    (0..text.len())
        .find(|&at| std::str::from_utf8(&text[..=at]).is_err_and(|error| error.error_len().is_some()))
}

/// Valid text, sometimes with a byte that does not belong there, sometimes cut short.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let valid = prop::collection::vec(prop_oneof![any::<char>(), Just('a')], 0..60);
    (valid, prop::option::of((any::<prop::sample::Index>(), any::<u8>())), 0..4_usize).prop_map(
        |(chars, wrong, short)| {
            let mut text = chars.into_iter().collect::<String>().into_bytes();
            if let Some((at, byte)) = wrong.filter(|_| !text.is_empty()) {
                let at = at.index(text.len());
                text[at] = byte;
            }
            text.truncate(text.len().saturating_sub(short));
            text
        },
    )
}

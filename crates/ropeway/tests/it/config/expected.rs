//! Texts that a test compares with a file beside it.

use std::{env, fs, path::Path};

/// Compares with the file; with `UPDATE_EXPECTED=1` writes it instead.
pub(crate) fn assert_expected(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config").join(name);
    if env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == found,
        "{name} differs; if it should, run again with UPDATE_EXPECTED=1\n--- expected\n{expected}\n--- found\n{found}"
    );
}

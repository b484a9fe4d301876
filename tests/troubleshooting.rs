//! `docs/troubleshooting.md` has a line for each word that something fails with.

use std::{collections::BTreeSet, fs};

use posthorn::v1::ErrorKind;

use super::support::{page, source};

/// Where the words of polls are, beside those of every failure.
const POLLS: [&str; 2] = [
    "control-plane/src/inbound/poll/pull.rs",
    "control-plane/src/inbound/poll/page.rs",
];

#[test]
fn o1_every_word_of_a_failure_has_a_line_that_says_what_to_do() {
    let rows = page::rows(&page::read("docs/troubleshooting.md"));
    let mut written = BTreeSet::new();
    for cells in &rows {
        let [words, means, mends] = &cells[..] else {
            panic!("not three cells: {cells:?}");
        };
        assert!(!means.is_empty() && !mends.is_empty(), "{words}");
        for word in words.split(", ") {
            let is_new = written.insert(word.trim_matches('`').to_owned());
            assert!(is_new, "two lines for {word}");
        }
    }
    let kinds = (1..).map_while(|number| ErrorKind::try_from(number).ok());
    let kinds = kinds.map(|kind| {
        let name = kind.as_str_name().trim_start_matches("ERROR_KIND_");
        name.to_lowercase()
    });
    let real = kinds.chain(POLLS.into_iter().flat_map(words_of));
    assert_eq!(written, real.collect());
}

/// The words that a file gives its errors.
fn words_of(file: &str) -> Vec<String> {
    let text = fs::read_to_string(source().join(file)).expect("the file is there");
    let texts = text.split("#[error(\"").skip(1);
    let words = texts.filter_map(|rest| rest.split('"').next());
    words.map(|word| word.replace("{}", "…")).collect()
}

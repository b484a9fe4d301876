//! Which protocol is agreed on.

use super::*;

#[test]
fn the_newest_version_is_used_that_both_speak() {
    for (node, ours, expected) in [
        ((2, 0), 2..=2, Some(2)),
        ((2, 2), 2..=2, Some(2)),
        // A newer node beside an older control plane, and the other way round.
        ((3, 2), 2..=2, Some(2)),
        ((2, 0), 2..=3, Some(2)),
        ((4, 2), 3..=5, Some(4)),
        ((3, 0), 2..=2, None),
        ((3, 3), 2..=2, None),
        ((1, 0), 2..=3, None),
        ((0, 0), 2..=2, None),
        ((2, 3), 2..=3, None),
        ((u32::MAX, 0), 2..=2, None),
    ] {
        let (protocol, oldest_protocol) = node;
        let hello = v1::Hello {
            protocol,
            oldest_protocol,
            ..v1::Hello::default()
        };
        assert_eq!(agreed(&hello, &ours).ok(), expected, "{node:?} {ours:?}");
    }
}

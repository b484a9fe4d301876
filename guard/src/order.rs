//! Which of a name's addresses are dialled, and in which order.

use std::net::SocketAddr;

/// How many addresses of a name one attempt dials at most. All are judged.
const DIALLED_MAX: usize = 4;

/// The addresses to dial, in the order of RFC 8305: the families take turns, IPv6 first, and within a family the order of
/// the answer stays. So neither a long answer nor one family that leads nowhere takes the whole time of an attempt.
pub(crate) fn dialled(answer: &[SocketAddr]) -> Vec<SocketAddr> {
    let of = |is_v6: bool| answer.iter().filter(move |one| one.is_ipv6() == is_v6);
    let (mut v6, mut v4) = (of(true), of(false));
    let mut ordered = Vec::with_capacity(DIALLED_MAX);
    loop {
        let before = ordered.len();
        ordered.extend(v6.next());
        ordered.extend(v4.next());
        if ordered.len() == before || ordered.len() >= DIALLED_MAX {
            ordered.truncate(DIALLED_MAX);
            return ordered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: usize, is_v6: bool) -> SocketAddr {
        let text = if is_v6 {
            format!("[2606:4700::{last}]:443")
        } else {
            format!("8.8.8.{last}:443")
        };
        text.parse().expect("an address")
    }

    #[test]
    fn families_take_turns_and_four_are_dialled_at_most() {
        for (v4, v6, expected) in [
            (0, 0, &[][..]),
            (1, 0, &[(0, false)]),
            (0, 2, &[(0, true), (1, true)]),
            (1, 3, &[(0, true), (0, false), (1, true), (2, true)]),
            (9, 1, &[(0, true), (0, false), (1, false), (2, false)]),
            (9, 9, &[(0, true), (0, false), (1, true), (1, false)]),
            (200, 0, &[(0, false), (1, false), (2, false), (3, false)]),
        ] {
            let answer = (0..v4).map(|last| at(last, false));
            let answer: Vec<_> = answer.chain((0..v6).map(|last| at(last, true))).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(last, is_v6)| at(*last, *is_v6))
                .collect();
            assert_eq!(dialled(&answer), expected, "{v4} and {v6}");
        }
    }
}

//! Schedules and decisions.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

fn schedule(policy: &RetryPolicy) -> Vec<u64> {
    (1..).map_while(|made| policy.delay_ms(made)).collect()
}

fn status(code: u16) -> Fact {
    Fact::Status {
        code,
        retry_after_ms: None,
    }
}

#[test]
fn each_policy_has_its_schedule() {
    let exponential = RetryPolicy::exponential(1_000, 2.0, 5_000, 6).unwrap();
    let explicit = RetryPolicy::explicit(vec![0, 7]).unwrap();
    for (policy, delays) in [
        (RetryPolicy::Default, DEFAULT_DELAYS_MS.to_vec()),
        (RetryPolicy::Long, LONG_DELAYS_MS.to_vec()),
        (exponential, vec![1_000, 2_000, 4_000, 5_000, 5_000]),
        (explicit, vec![0, 7]),
        (RetryPolicy::explicit(vec![]).unwrap(), vec![]),
    ] {
        assert_eq!(schedule(&policy), delays, "{policy:?}");
    }
}

#[test]
fn a_policy_out_of_its_limits_is_refused() {
    for (initial, factor, max, attempts, error) in [
        (99, 2.0, 1_000, 5, PolicyError::Initial),
        (
            INITIAL_MAX_MS + 1,
            2.0,
            DELAY_MAX_MS,
            5,
            PolicyError::Initial,
        ),
        (1_000, 0.5, 1_000, 5, PolicyError::Factor),
        (1_000, f64::NAN, 1_000, 5, PolicyError::Factor),
        (1_000, -1.0, 1_000, 5, PolicyError::Factor),
        (1_000, 2.0, 999, 5, PolicyError::Max),
        (1_000, 2.0, DELAY_MAX_MS + 1, 5, PolicyError::Max),
        (1_000, 2.0, 1_000, 0, PolicyError::Attempts),
        (1_000, 2.0, 1_000, 101, PolicyError::Attempts),
    ] {
        assert_eq!(
            RetryPolicy::exponential(initial, factor, max, attempts),
            Err(error)
        );
    }
    assert_eq!(
        RetryPolicy::explicit(vec![0; 100]),
        Err(PolicyError::Delays)
    );
    assert_eq!(
        RetryPolicy::explicit(vec![DELAY_MAX_MS + 1]),
        Err(PolicyError::Delays)
    );
}

#[test]
fn each_answer_has_its_consequence() {
    let once = RetryPolicy::explicit(vec![0]).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    for (facts, decision) in [
        (vec![200, 201, 204, 299], Decision::Delivered),
        (
            vec![400, 401, 403, 404, 405, 422, 451, 499],
            Decision::Rejected,
        ),
        (vec![410], Decision::Gone),
        (
            vec![
                100, 301, 302, 307, 308, 408, 425, 429, 500, 502, 503, 504, 599,
            ],
            Decision::RetryIn(0),
        ),
    ] {
        for code in facts {
            assert_eq!(decide(&once, 1, status(code), &mut rng), decision, "{code}");
        }
    }
    assert_eq!(
        decide(&once, 1, Fact::NoAnswer, &mut rng),
        Decision::RetryIn(0)
    );
    assert_eq!(
        decide(&once, 2, Fact::NoAnswer, &mut rng),
        Decision::Exhausted
    );
    assert_eq!(decide(&once, 2, status(500), &mut rng), Decision::Exhausted);
    assert_eq!(decide(&once, 2, status(204), &mut rng), Decision::Delivered);
}

#[test]
fn retry_after_lengthens_the_delay_of_429_and_503_up_to_an_hour() {
    let policy = RetryPolicy::explicit(vec![0]).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    for (code, asked, wait) in [
        (429, 30_000, 30_000),
        (503, 30_000, 30_000),
        (503, 10 * HOUR, HOUR),
        (500, 30_000, 0),
    ] {
        let fact = Fact::Status {
            code,
            retry_after_ms: Some(asked),
        };
        assert_eq!(decide(&policy, 1, fact, &mut rng), Decision::RetryIn(wait));
    }
}

#[test]
fn a_retry_after_header_is_seconds_or_a_date_or_nothing() {
    let now_ms = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    for (value, wait_ms) in [
        ("120", Some(120_000)),
        (" 5 ", Some(5_000)),
        ("0", Some(0)),
        ("999999999999999999999999", Some(HOUR)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
        ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
        ("Sat, 06 Nov 2004 08:48:37 GMT", Some(HOUR)),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(parse_retry_after(value, now_ms), wait_ms, "{value:?}");
    }
}

proptest! {
    #[test]
    fn a_delay_stays_within_its_jitter(delay in 0..DELAY_MAX_MS, seed: u64) {
        let policy = RetryPolicy::explicit(vec![delay]).unwrap();
        let mut rng = StdRng::seed_from_u64(seed);
        let Decision::RetryIn(wait) = decide(&policy, 1, Fact::NoAnswer, &mut rng) else {
            return Err(TestCaseError::fail("no retry"));
        };
        prop_assert!(wait * 10 + 10 >= delay * 8 && wait * 10 <= delay * 12);
    }

    #[test]
    fn no_schedule_is_endless(initial in INITIAL_MIN_MS..INITIAL_MAX_MS, factor in 1.0..10.0, attempts in 1..=ATTEMPTS_MAX) {
        let policy = RetryPolicy::exponential(initial, factor, DELAY_MAX_MS, attempts).unwrap();
        let delays = schedule(&policy);
        prop_assert_eq!(delays.len(), attempts as usize - 1);
        prop_assert!(delays.is_sorted());
    }
}

//! Schedules and decisions.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::model::delivery::ErrorKind;

fn schedule(policy: &RetryPolicy) -> Vec<u64> {
    (1..).map_while(|made| policy.delay_ms(made)).collect()
}

const NOW: i64 = 1_764_000_000_000;

fn status(code: u16) -> AttemptResult {
    asking(code, "")
}

fn asking(status_code: u16, retry_after: &str) -> AttemptResult {
    AttemptResult::Answered {
        status_code,
        retry_after: retry_after.to_owned(),
    }
}

fn dead(reason: DeadReason) -> Decision {
    Decision::Dead { reason, at: NOW }
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
    let mut decide = |made, result: AttemptResult| decide(&once, made, &result, NOW, &mut rng);
    for (codes, decision) in [
        (vec![200, 201, 204, 299], Decision::Delivered),
        (
            vec![400, 401, 403, 404, 405, 422, 451, 499],
            dead(DeadReason::Rejected),
        ),
        (vec![410], dead(DeadReason::Gone)),
        (
            vec![
                100, 301, 302, 307, 308, 408, 425, 429, 500, 502, 503, 504, 599,
            ],
            Decision::RetryAt(NOW),
        ),
    ] {
        for code in codes {
            assert_eq!(decide(1, status(code)), decision, "{code}");
        }
    }
    let failed = || AttemptResult::Failed(ErrorKind::Timeout);
    let exhausted = dead(DeadReason::AttemptsExhausted);
    assert_eq!(decide(1, failed()), Decision::RetryAt(NOW));
    assert_eq!(decide(2, failed()), exhausted);
    assert_eq!(decide(2, status(500)), exhausted);
    assert_eq!(decide(2, status(204)), Decision::Delivered);
    assert_eq!(decide(2, AttemptResult::Handled), Decision::Delivered);
    assert_eq!(
        decide(1, AttemptResult::Refused),
        dead(DeadReason::Rejected)
    );
}

#[test]
fn retry_after_lengthens_the_delay_of_429_and_503_up_to_an_hour() {
    let policy = RetryPolicy::explicit(vec![0]).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    for (code, asked, wait) in [
        (429, "30", 30_000),
        (503, "30", 30_000),
        (503, "36000", HOUR),
        (500, "30", 0),
    ] {
        let decision = decide(&policy, 1, &asking(code, asked), NOW, &mut rng);
        assert_eq!(
            decision,
            Decision::RetryAt(NOW.saturating_add_unsigned(wait))
        );
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
        let Decision::RetryAt(at) = decide(&policy, 1, &status(500), NOW, &mut rng) else {
            return Err(TestCaseError::fail("no retry"));
        };
        let wait = at.abs_diff(NOW);
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

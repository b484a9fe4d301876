//! The handshakes of the catalogue, each with the request that its provider sends and the answer that it wants.
//!
//! Whether the caller has to look at the signature first is part of each case, since a handshake that is not signed can
//! be set off by anybody.

use posthorn_verify::{
    Context, Handshaken, Headers, Options, Refusal, Request, Secret, Settings, Verifier, catalogue,
};

/// A request, and what is expected when it is a handshake.
struct Case {
    provider: &'static str,
    method: &'static str,
    query: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: &'static str,
    signed: bool,
    status: u16,
    answer: &'static str,
    answer_headers: Vec<(&'static str, &'static str)>,
    hands_a_secret_over: bool,
    call_back: Option<&'static str>,
}

const SECRETS: [&str; 3] = [
    "secret",
    "verify_token:our-verify_token",
    "verification_token:our-verification_token",
];
const NOW_MS: i64 = 1_795_000_002_000;
const NOSNIFF: (&str, &str) = ("x-content-type-options", "nosniff");
const SETTINGS: [(&str, &str); 3] = [
    ("origin", "our-origin"),
    ("public_key", "our-public_key"),
    ("topic_arn", "arn:aws:sns:eu-west-1:123456789012:orders"),
];

fn case(provider: &'static str, method: &'static str) -> Case {
    Case {
        provider,
        method,
        query: "",
        headers: Vec::new(),
        body: "",
        signed: method == "POST",
        status: 200,
        answer: "",
        answer_headers: Vec::new(),
        hands_a_secret_over: false,
        call_back: None,
    }
}

fn get(provider: &'static str, query: &'static str) -> Case {
    Case {
        query,
        ..case(provider, "GET")
    }
}

fn post(provider: &'static str, body: &'static str) -> Case {
    Case {
        body,
        ..case(provider, "POST")
    }
}

impl Case {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn unsigned(mut self) -> Self {
        self.signed = false;
        self
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.answer_headers.push((name, value));
        self
    }

    fn text(mut self, answer: &'static str) -> Self {
        self.answer = answer;
        self.answer_headers = vec![("content-type", "text/plain"), NOSNIFF];
        self
    }

    fn json(mut self, answer: &'static str) -> Self {
        self.answer = answer;
        self.answer_headers = vec![("content-type", "application/json"), NOSNIFF];
        self
    }

    fn secret(mut self) -> Self {
        self.hands_a_secret_over = true;
        self
    }

    fn calls(mut self, url: &'static str) -> Self {
        self.call_back = Some(url);
        self
    }

    /// What is answered; `None` when the request is no handshake.
    fn answered(&self) -> Option<Result<Handshaken, Refusal>> {
        let provider = catalogue().get(self.provider).expect(self.provider);
        let settings: Settings = SETTINGS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let options = Options::named(self.provider);
        let verifier =
            Verifier::compile(&provider.scheme, &settings, &options).expect(self.provider);
        let headers: Headers = self.headers.iter().copied().collect();
        let path_query = format!("/in/source{}", self.query);
        let request = Request {
            method: self.method,
            path_query: &path_query,
            url: "https://hooks.example.com/in/source",
            headers: &headers,
            body: self.body.as_bytes(),
        };
        let secrets = SECRETS.map(|text| Secret::new(text).expect("a secret"));
        let context = Context {
            request: &request,
            secrets: &secrets,
            fetched: &[],
            now_ms: NOW_MS,
        };
        let handshake = verifier.handshake(&request)?;
        assert_eq!(
            handshake.before_signature(),
            !self.signed,
            "{}",
            self.provider
        );
        Some(handshake.answer(&context))
    }

    fn check(&self) {
        let name = self.provider;
        let outcome = self.answered().expect(name).expect(name);
        let body = String::from_utf8_lossy(&outcome.answer.body);
        assert_eq!(
            (outcome.answer.status, &*body),
            (self.status, self.answer),
            "{name}"
        );
        let headers: Vec<_> = outcome
            .answer
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        for header in &self.answer_headers {
            assert!(
                headers.contains(header),
                "{name}: {header:?} in {headers:?}"
            );
        }
        assert_eq!(
            outcome.capture.is_some(),
            self.hands_a_secret_over,
            "{name}"
        );
        let call_back = outcome.call_back.as_ref().map(url::Url::as_str);
        assert_eq!(call_back, self.call_back, "{name}");
    }
}

#[test]
fn challenges_that_nobody_signs_are_answered_at_once() {
    let cases = [
        get("dropbox", "?challenge=a%20b%3Cc").text("a b<c"),
        get("nylas", "?challenge=a%20b%3Cc").text("a b<c"),
        Case {
            query: "?validationToken=a%3Ab+c",
            ..post("microsoft_graph", "").unsigned().text("a:b c")
        },
        post("front", "")
            .with("X-Front-Challenge", "f1")
            .unsigned()
            .text("f1"),
        get("okta", "")
            .with("X-Okta-Verification-Challenge", "v1")
            .json(r#"{"verification":"v1"}"#),
        post("monday", r#"{"challenge":"3eZb"}"#)
            .unsigned()
            .json(r#"{"challenge":"3eZb"}"#),
        post("ringcentral", "")
            .with("Validation-Token", "r1")
            .unsigned()
            .header("validation-token", "r1"),
        post("exact_online", "").unsigned(),
        post("mandrill", "mandrill_events=%5B%5D").unsigned(),
        post("woocommerce", "webhook_id=7").unsigned(),
        case("mandrill", "HEAD"),
        case("circle", "HEAD"),
        case("trello", "HEAD"),
        case("intercom", "HEAD"),
        get("mailchimp", ""),
    ];
    for case in cases {
        case.check();
    }
}

#[test]
fn subscriptions_are_confirmed_to_who_knows_the_token() {
    const RIGHT: &str = "?hub.mode=subscribe&hub.verify_token=our-verify_token&hub.challenge=17";
    const WRONG: &str = "?hub.mode=subscribe&hub.verify_token=our-verify_tokem&hub.challenge=17";
    for provider in ["meta", "facebook", "instagram", "whatsapp"] {
        get(provider, RIGHT).text("17").check();
        get(provider, WRONG).status(403).check();
    }
    get("strava", RIGHT)
        .json(r#"{"hub.challenge":"17"}"#)
        .check();
    get("strava", WRONG).status(403).check();
    get(
        "oura",
        "?verification_token=our-verification_token&challenge=17",
    )
    .json(r#"{"challenge":"17"}"#)
    .check();
    get("oura", "?verification_token=&challenge=17")
        .status(403)
        .check();
}

#[test]
fn challenges_in_signed_bodies_are_answered_after_the_signature() {
    let cases = [
        post("slack", r#"{"type":"url_verification","challenge":"3eZb"}"#).text("3eZb"),
        post("tebex", r#"{"id":"c5a1","type":"validation.webhook"}"#).json(r#"{"id":"c5a1"}"#),
        post("discord", r#"{"type":1,"token":"t"}"#).json(r#"{"type":1}"#),
        post("discord", r#"{"version":1,"application_id":"1","type":0}"#).status(204),
        post("twitch", r#"{"challenge":"pogchamp-kappa"}"#)
            .with("Twitch-Eventsub-Message-Type", "webhook_callback_verification")
            .text("pogchamp-kappa"),
        post("azure_event_grid", r#"[{"data":{"validationCode":"512d"}}]"#)
            .with("aeg-event-type", "SubscriptionValidation")
            .json(r#"{"validationResponse":"512d"}"#),
        post(
            "zoom",
            r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8"}}"#,
        )
        .json(r#"{"encryptedToken":"323172f4cbd3d6e3721c2a0afac840e29651c81dfd6a7d9345af3e947c8d5d73","plainToken":"qgg8"}"#),
        post("smartcar", r#"{"eventType":"VERIFY","data":{"challenge":"5e3f"}}"#)
            .json(r#"{"challenge":"2644dbaabe8f3ca285329b21fe60ac35caf945a834b7666d9f224f36cc1a6716"}"#),
        post(
            "aws_sns",
            r#"{"Type":"SubscriptionConfirmation","SubscribeURL":"https://sns.eu-west-1.amazonaws.com/?Token=1"}"#,
        )
        .calls("https://sns.eu-west-1.amazonaws.com/?Token=1"),
    ];
    for case in cases {
        case.check();
    }
}

#[test]
fn a_confirmation_is_called_for_on_the_providers_hosts_only() {
    for body in [
        r#"{"Type":"SubscriptionConfirmation","SubscribeURL":"https://sns.evil.example/"}"#,
        r#"{"Type":"SubscriptionConfirmation","SubscribeURL":"http://sns.eu-west-1.amazonaws.com/"}"#,
        r#"{"Type":"SubscriptionConfirmation","SubscribeURL":"https://sns.eu-west-1.amazonaws.com.evil.example/"}"#,
        r#"{"Type":"SubscriptionConfirmation"}"#,
    ] {
        assert!(
            matches!(post("aws_sns", body).answered(), Some(Err(_))),
            "{body}"
        );
    }
}

#[test]
fn secrets_that_are_handed_over_are_kept_and_confirmed() {
    post("asana", "{}")
        .with("X-Hook-Secret", "b537207f20cbfa02357cf448134da559")
        .unsigned()
        .secret()
        .header("x-hook-secret", "b537207f20cbfa02357cf448134da559")
        .check();
    post("notion", r#"{"verification_token":"secret_tMrlL1qK5"}"#)
        .unsigned()
        .secret()
        .check();
}

#[test]
fn a_digest_is_made_of_a_challenge_but_never_of_a_body() {
    get("x", "?crc_token=foo-123%3D")
        .json(r#"{"response_token":"sha256=2xo4hTeJ0nEF1WlOTDD9/iWr4m7T2hpTGaFy2V6m9aI="}"#)
        .check();
    get("linkedin", "?challengeCode=890e4665-4dfe-4ab1")
        .json(r#"{"challengeCode":"890e4665-4dfe-4ab1","challengeResponse":"be6c46e6263aeab1d803e3bd6092ac1c094a212df38b40ab838cb94ee1d14ef2"}"#)
        .check();
    get("braintree", "?bt_challenge=1f9a3c4b5d6e7f8091a2b3c4")
        .text("our-public_key|44a95cbed1261ac52f63673706859a9ae16b64f4")
        .check();
    get("ebay", "?challenge_code=a8628072-3d33")
        .json(r#"{"challengeResponse":"02b0a3adda98dad129b3e210faa27a6fe7680c58f7a56f0e470d87bd62178936"}"#)
        .check();
    // The digests of these would be signatures of events.
    for case in [
        get("x", "?crc_token=%7B%22a%22%3A1%7D"),
        get("x", "?crc_token=%5B1%5D"),
        get("x", "?crc_token="),
        get(
            "linkedin",
            "?challengeCode=hmacsha256%3D%7B%22type%22%3A%22T%22%7D",
        ),
        get("braintree", "?bt_challenge=PG5vdGlmaWNhdGlvbj4"),
    ] {
        let name = (case.provider, case.query);
        assert!(!matches!(case.answered(), Some(Ok(_))), "{name:?}");
    }
}

#[test]
fn consent_is_given_to_the_origin_that_was_configured() {
    case("cloudevents", "OPTIONS")
        .with("WebHook-Request-Origin", "our-origin")
        .header("allow", "POST")
        .header("webhook-allowed-origin", "our-origin")
        .header("webhook-allowed-rate", "*")
        .check();
    let other = case("cloudevents", "OPTIONS").with("WebHook-Request-Origin", "evil.example");
    let outcome = other.answered().expect("a handshake").expect("an answer");
    assert!(outcome.answer.headers.is_empty());
}

#[test]
fn what_is_no_handshake_is_an_event() {
    for case in [
        post("slack", r#"{"type":"event_callback"}"#),
        post("zoom", r#"{"event":"meeting.started"}"#),
        post("discord", r#"{"type":1,"event":{}}"#),
        post("stripe", "{}"),
        post("dropbox", "{}"),
        post("mandrill", "mandrill_events=%5B%7B%7D%5D"),
        post("exact_online", "{}"),
        post("woocommerce", r#"{"id":7}"#),
        get("meta", "?hub.mode=unsubscribe&hub.challenge=1"),
        get("stripe", ""),
    ] {
        let name = (case.provider, case.method, case.body);
        assert!(case.answered().is_none(), "{name:?}");
    }
}

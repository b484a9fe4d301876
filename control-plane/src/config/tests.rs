//! What flags are taken and what is printed of them.

use clap::Parser;

use super::*;
use crate::model::id::SourceId;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    config: Config,
}

fn parse(arguments: &[&str]) -> Result<Config, clap::Error> {
    let program = std::iter::once(&"posthorn-control-plane").chain(arguments);
    Program::try_parse_from(program).map(|program| program.config)
}

#[test]
fn without_flags_the_defaults_hold() {
    let (parsed, default) = (parse(&[]).unwrap(), Config::default());
    assert_eq!(format!("{parsed:?}"), format!("{default:?}"));
    assert_eq!(
        parsed.database_url().expose(),
        "sqlite:./posthorn-data/posthorn.db"
    );
    assert_eq!(parsed.transport(), Ok(Transport::Loopback));
}

#[test]
fn a_password_is_never_printed() {
    let config = parse(&["--database", "postgres://me:hunter2@db/posthorn"]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let refused = "postgres:me:hunter2@db/posthorn"
        .parse::<DatabaseUrl>()
        .unwrap_err();
    assert!(!refused.to_string().contains("hunter2"));
    let config = Config {
        master_key: Some("hunter2".into()),
        ..Config::default()
    };
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn values_out_of_their_limits_are_refused() {
    for arguments in [
        ["--database", "mysql://db/posthorn"],
        ["--database", "sqlite:"],
        ["--payload-bytes-max", "0"],
        ["--payload-bytes-max", "1048577"],
        ["--event-retention-days", "0"],
        ["--dead-letter-retention-days", "3651"],
        ["--drain-timeout", "-1"],
        ["--retry-policy", "never"],
        ["--allow-target", "non sense"],
        ["--grpc-listen", "localhost"],
        ["--grpc-connections", "0"],
        ["--grpc-bytes", "1073741825"],
        ["--grpc-message-timeout", "0"],
        ["--grpc-idle-timeout", "soon"],
        ["--public-url", "hooks.example.com"],
        ["--public-url", "ftp://hooks.example.com"],
        ["--public-url", "https://me@hooks.example.com"],
        ["--public-url", "https://hooks.example.com/?a=b"],
        ["--public-url", "https://hooks.example.com/#a"],
        ["--tls-cert", "only.pem"],
    ] {
        assert!(parse(&arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn a_source_is_below_the_public_url() {
    let id = SourceId::from_uuid(uuid::Uuid::nil());
    for (text, begin) in [
        ("https://hooks.example.com", "https://hooks.example.com"),
        ("https://hooks.example.com/", "https://hooks.example.com"),
        ("http://127.0.0.1:8080/a/b/", "http://127.0.0.1:8080/a/b"),
    ] {
        let url = text.parse::<PublicUrl>().unwrap();
        assert_eq!(url.of_source(id), format!("{begin}/in/{id}"));
    }
    assert_eq!(PublicUrl::default().of_source(id), format!("/in/{id}"));
}

#[test]
fn plaintext_stays_on_loopback_unless_asked_for() {
    let public = ["--grpc-listen", "0.0.0.0:50051"];
    let address = "0.0.0.0:50051".parse().expect("an address");
    assert_eq!(
        parse(&public).unwrap().transport(),
        Err(ConfigError::Plaintext(address))
    );
    let insecure = [&public[..], &["--insecure-plaintext"]].concat();
    assert_eq!(
        parse(&insecure).unwrap().transport(),
        Ok(Transport::Insecure)
    );
    let tls = [&public[..], &["--tls-cert", "c.pem", "--tls-key", "k.pem"]].concat();
    assert!(matches!(
        parse(&tls).unwrap().transport(),
        Ok(Transport::Tls { .. })
    ));
}

#[test]
fn allowed_targets_can_be_given_again_and_again() {
    let config = parse(&[
        "--allow-target",
        "127.0.0.0/8",
        "--allow-target",
        "10.0.0.0/8:443",
    ])
    .unwrap();
    let allow = config.allow_list();
    assert!(allow.covers("127.0.0.1:80".parse().expect("an address")));
    assert!(allow.covers("10.1.1.1:443".parse().expect("an address")));
    assert!(!allow.covers("10.1.1.1:80".parse().expect("an address")));
}

#[test]
fn it_is_known_where_a_database_is() {
    for (url, place) in [
        (
            "postgres://me:pw@127.0.0.1:5433/posthorn",
            Some(("127.0.0.1", 5433)),
        ),
        (
            "postgres://me@localhost/posthorn",
            Some(("localhost", 5432)),
        ),
        ("postgresql://[::1]/posthorn", Some(("::1", 5432))),
        (
            "postgres://db.example.com/posthorn",
            Some(("db.example.com", 5432)),
        ),
        ("sqlite:/var/lib/posthorn.db", None),
    ] {
        let url = url.parse::<DatabaseUrl>().unwrap();
        let place = place.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(url.host_and_port(), place, "{url:?}");
    }
}

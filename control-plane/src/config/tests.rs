//! What flags are taken and what is printed of them.

use clap::Parser;

use super::*;

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
        ["--allow-target", "nonsense"],
        ["--grpc-listen", "localhost"],
        ["--tls-cert", "only.pem"],
    ] {
        assert!(parse(&arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn plaintext_stays_on_loopback_unless_asked_for() {
    let public = ["--grpc-listen", "0.0.0.0:50051"];
    let refused = parse(&public).unwrap().transport();
    assert!(matches!(refused, Err(ConfigError::Plaintext(_))));
    let insecure = [&public[..], &["--insecure-plaintext"]].concat();
    assert!(matches!(parse(&insecure).unwrap().transport(), Ok(Transport::Insecure)));
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
fn a_database_on_this_machine_is_never_a_target() {
    let arguments = ["--database", "postgres://me:pw@localhost/posthorn", "--allow-target", "127.0.0.0/8"];
    let policy = parse(&arguments).unwrap().guard_policy([]);
    assert!(!policy.admits("127.0.0.1:5432".parse().expect("an address")));
    assert!(policy.admits("127.0.0.1:5433".parse().expect("an address")));
}

#[test]
fn only_an_embedded_database_gets_a_directory_and_a_master_key() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("new");
    let mut config = Config { data_dir: data_dir.clone(), ..Config::default() };
    assert!(config.database_url().unwrap().ends_with("new/posthorn.db"));
    let source = config.key_source().unwrap();
    assert_eq!(source.file(), Some(data_dir.join("master.key").as_path()));
    config.database = "postgres://db/posthorn".parse().ok();
    assert!(matches!(config.key_source(), Err(ConfigError::MasterKey(KeySourceError::Missing))));
}

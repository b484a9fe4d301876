//! Master keys that change, and that are missing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use posthorn::node::v1::Hello;
use posthorn::v1::{DeliveryState, SourceSettings};
use posthorn_harness::{
    ControlPlaneOptions, Deployment, Provider, STANDARD_WEBHOOKS, Sql, Starting, StoreKind,
};
use standardwebhooks::Webhook;
use tempfile::TempDir;

use super::support::{
    DEADLINE,
    follow::{attempts_of, await_state, deliveries_of},
    hand_edge::{HandEdge, provider_of},
    hand_node::{HandNode, answered, hello, reference},
    restart::{restart, start, stop},
};

on_both! {
    a_new_master_key_takes_over_and_the_old_one_can_go,
    a_lease_outlives_a_new_master_key_while_the_old_one_is_there,
    without_its_master_key_an_endpoint_waits_until_the_key_is_back,
    without_its_master_key_a_source_asks_its_provider_to_try_later,
    case_20_a_start_without_the_key_of_sealed_secrets_is_refused_and_says_which_and_where,
}

const OLD: u8 = 1;
const NEW: u8 = 2;

/// A deployment with its master keys in a file.
struct Keyed {
    deployment: Deployment,
    file: PathBuf,
}

impl Keyed {
    async fn start(store: StoreKind) -> Self {
        Self::start_with(store, &[]).await
    }

    /// The same for starts without a key that secrets need.
    async fn start_lenient(store: StoreKind) -> Self {
        Self::start_with(store, &["--allow-missing-master-key"]).await
    }

    async fn start_with(store: StoreKind, args: &[&str]) -> Self {
        let folder = TempDir::with_prefix("posthorn-keys-");
        let folder = Arc::new(folder.expect("a temporary folder can be made"));
        let file = folder.path().join("master.keys");
        let mut options = options(folder, &file);
        options.args.extend(args.iter().map(|&arg| arg.to_owned()));
        write(&file, &[OLD]);
        let deployment = Deployment::start_with(store, options, &[]).await;
        Self { deployment, file }
    }

    /// Restarts the control plane with these keys, the current one first.
    async fn restart_with(&mut self, keys: &[u8]) {
        write(&self.file, keys);
        restart(&mut self.deployment).await;
    }

    /// Makes an endpoint for everything at a path of the receiver; returns its secret.
    async fn endpoint(&self, path: &str) -> String {
        let url = self.deployment.receiver.url(path);
        let created = self.deployment.admin.create_endpoint(&url, &["*"]).await;
        created.secret
    }

    /// Makes a source; returns its provider.
    async fn provider(&self) -> Provider {
        let settings = SourceSettings {
            provider: STANDARD_WEBHOOKS.to_owned(),
            ..SourceSettings::default()
        };
        let created = self
            .deployment
            .admin
            .create_source_with(settings, &[])
            .await;
        provider_of(&created, &created.secret)
    }

    /// Posts an event of a provider; returns the status of the answer.
    async fn post(&self, provider: &Provider, id: &str) -> u32 {
        let node = self.deployment.admin.with_key(&self.deployment.node_key);
        let mut edge = HandEdge::open(&node).await;
        edge.post(provider, id, "{}").await.status
    }

    /// Emits an event, and waits until a request with a good signature of `secret` brought it to the path.
    async fn assert_signs(&self, path: &str, secret: &str) {
        let event_id = self.deployment.admin.emit("a.b", "{}").await.event_id;
        await_state(&self.deployment.admin, &event_id, DeliveryState::Delivered).await;
        let requests = self.deployment.receiver.received(path).requests();
        let last = requests.last().expect("it was delivered");
        assert_eq!(last.webhook_id(), event_id);
        let webhook = Webhook::new(secret).expect("a standard secret");
        let verified = webhook.verify(&last.body, &last.headers);
        assert!(verified.is_ok(), "{last:?}");
    }

    /// The ids of the master keys that secrets are sealed under.
    async fn used_keys(&self) -> Vec<String> {
        let mut sql = Sql::open(&self.deployment.control.database()).await;
        let used = "select distinct kek_id from secret order by 1";
        sql.texts(used).await
    }
}

fn options(folder: Arc<TempDir>, file: &Path) -> ControlPlaneOptions {
    ControlPlaneOptions {
        folder: Some(folder),
        args: vec!["--master-key-file".to_owned(), file.display().to_string()],
        // Goes before the file, unless it is empty.
        env: vec![("POSTHORN_MASTER_KEY".to_owned(), String::new())],
        ..ControlPlaneOptions::default()
    }
}

/// Writes master keys, each of one repeated byte.
fn write(file: &PathBuf, keys: &[u8]) {
    let lines = keys.iter().map(|key| BASE64.encode([*key; 32]) + "\n");
    fs::write(file, lines.collect::<String>()).expect("the folder can be written to");
}

async fn a_new_master_key_takes_over_and_the_old_one_can_go(store: StoreKind) {
    let mut keyed = Keyed::start(store).await;
    let secret = keyed.endpoint("/").await;
    let provider = keyed.provider().await;
    keyed.assert_signs("/", &secret).await;
    let before = keyed.used_keys().await;

    keyed.restart_with(&[NEW, OLD]).await;
    assert!(
        keyed
            .deployment
            .control
            .logged("re-wrapped 2 secrets")
            .await
    );
    keyed.assert_signs("/", &secret).await;
    assert_eq!(keyed.post(&provider, "1").await, 200);
    let after = keyed.used_keys().await;
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after);

    keyed.restart_with(&[NEW]).await;
    keyed.assert_signs("/", &secret).await;
    assert_eq!(keyed.post(&provider, "2").await, 200);
}

async fn without_its_master_key_a_source_asks_its_provider_to_try_later(store: StoreKind) {
    let mut keyed = Keyed::start_lenient(store).await;
    let provider = keyed.provider().await;
    assert_eq!(keyed.post(&provider, "1").await, 200);

    keyed.restart_with(&[NEW]).await;
    let log = keyed.deployment.control.logged("cannot be verified").await;
    assert!(log, "{}", keyed.deployment.control.logs());
    assert_eq!(keyed.post(&provider, "2").await, 503);
    let other = keyed.provider().await;
    assert_eq!(keyed.post(&other, "3").await, 200);

    // The running control plane reads the file again.
    write(&keyed.file, &[NEW, OLD]);
    assert!(
        keyed
            .deployment
            .control
            .logged("re-wrapped 1 secrets")
            .await
    );
    assert_eq!(keyed.post(&provider, "4").await, 200);
}

async fn a_lease_outlives_a_new_master_key_while_the_old_one_is_there(store: StoreKind) {
    let mut keyed = Keyed::start_lenient(store).await;
    let status = keyed.deployment.node.terminate().await;
    assert!(status.success(), "{}", keyed.deployment.node.logs());
    keyed.endpoint("/").await;
    let admin = keyed.deployment.admin.clone();
    let node = admin.with_key(&keyed.deployment.node_key);
    let mut holder = HandNode::ready(&node, 1, 2).await;
    for _ in 0..2 {
        admin.emit("a.b", "{}").await;
    }
    let leases = holder.leases(2).await;
    // Who comes back with a lease finds it believed under [NEW, OLD], and under NEW alone it is nobody's word.
    for (keys, lease, attempts) in [(&[NEW, OLD][..], &leases[0], 1), (&[NEW], &leases[1], 0)] {
        keyed.restart_with(keys).await;
        let admin = &keyed.deployment.admin;
        let node = admin.with_key(&keyed.deployment.node_key);
        let back = Hello {
            in_flight: vec![reference(lease)],
            ..hello(1, 2)
        };
        let mut holder = HandNode::join(&node, back).await.expect("it is welcome");
        holder.settle(vec![answered(lease, 200)]).await;
        let logged = attempts_of(admin, &lease.delivery_id).await;
        assert_eq!(logged.len(), attempts, "{keys:?}");
    }
}

async fn without_its_master_key_an_endpoint_waits_until_the_key_is_back(store: StoreKind) {
    let mut keyed = Keyed::start_lenient(store).await;
    let secret = keyed.endpoint("/sealed").await;
    keyed.assert_signs("/sealed", &secret).await;

    keyed.restart_with(&[NEW]).await;
    let log = keyed.deployment.control.logged("cannot be opened").await;
    assert!(log, "{}", keyed.deployment.control.logs());
    let open = keyed.endpoint("/open").await;
    let admin = keyed.deployment.admin.clone();
    let emitted = admin.emit("a.b", "{}").await;
    assert_eq!(emitted.delivery_count, 2, "one of them waits");
    let receiver = &keyed.deployment.receiver;
    let requests = receiver.received("/open").await_count(1, DEADLINE).await;
    let webhook = Webhook::new(&open).expect("a standard secret");
    assert!(
        webhook
            .verify(&requests[0].body, &requests[0].headers)
            .is_ok()
    );
    let sealed = receiver.received("/sealed");
    assert_eq!(sealed.count(), 1, "only what came before");
    let states = deliveries_of(&admin, &emitted.event_id).await;
    let pending = states.iter().filter(|delivery| {
        delivery.state() == DeliveryState::Pending && delivery.attempt_count == 0
    });
    assert!(pending.count() >= 1, "{states:?}");

    // The running control plane reads the file again.
    write(&keyed.file, &[NEW, OLD]);
    let requests = sealed.await_count(2, DEADLINE).await;
    assert_eq!(requests[1].webhook_id(), emitted.event_id);
    let webhook = Webhook::new(&secret).expect("a standard secret");
    assert!(
        webhook
            .verify(&requests[1].body, &requests[1].headers)
            .is_ok()
    );
    assert!(keyed.deployment.control.logged("re-wrapped").await);
}

async fn case_20_a_start_without_the_key_of_sealed_secrets_is_refused_and_says_which_and_where(
    store: StoreKind,
) {
    let mut keyed = Keyed::start(store).await;
    let secret = keyed.endpoint("/").await;
    keyed.provider().await;
    let used = keyed.used_keys().await;
    let [used] = &used[..] else {
        panic!("there is one key: {used:?}");
    };
    let deployment = &mut keyed.deployment;
    stop(deployment).await;
    let mut again = options(Arc::clone(deployment.control.folder()), &keyed.file);
    if store == StoreKind::Postgres {
        again.database = Some(deployment.control.database());
    }
    write(&keyed.file, &[NEW]);
    let log = Starting::spawn(again.clone()).refused().await;
    let file = keyed.file.display().to_string();
    let under = format!("2 under the master key {used}");
    for part in [&under, &file, "--allow-missing-master-key"] {
        assert!(log.contains(part), "{log}");
    }
    again.args.push("--allow-missing-master-key".to_owned());
    let mut told = Starting::spawn(again).listening().await;
    told.ready().await;
    told.terminate().await;

    write(&keyed.file, &[NEW, OLD]);
    start(&mut keyed.deployment).await;
    keyed.assert_signs("/", &secret).await;
}

#[tokio::test]
async fn case_20_sqlite_a_lost_master_key_file_is_not_made_anew() {
    let mut deployment = Deployment::start(StoreKind::Sqlite).await;
    let url = deployment.receiver.url("/");
    deployment.admin.create_endpoint(&url, &["*"]).await;
    stop(&mut deployment).await;
    let folder = Arc::clone(deployment.control.folder());
    let (file, away) = (folder.path().join("master.key"), folder.path().join("away"));
    fs::rename(&file, &away).expect("the file is there");
    let again = ControlPlaneOptions {
        folder: Some(folder),
        ..ControlPlaneOptions::default()
    };
    let log = Starting::spawn(again).refused().await;
    let path = file.display().to_string();
    for part in ["1 under the master key ", path.as_str(), "is not there"] {
        assert!(log.contains(part), "{log}");
    }
    assert!(!file.exists(), "a new one hides that the old one is lost");

    fs::rename(&away, &file).expect("it can be put back");
    start(&mut deployment).await;
    let event_id = deployment.admin.emit("a.b", "{}").await.event_id;
    await_state(&deployment.admin, &event_id, DeliveryState::Delivered).await;
}

//! A name server on loopback that answers as a test says. Only compiled for tests.
//!
//! It knows A and AAAA questions over UDP and nothing else of the DNS.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

/// What the server does with a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// These addresses, each with a time to live of so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// The name does not exist.
    NoSuchName,
    /// The server failed.
    ServerFailure,
    /// No answer at all.
    Silence,
}

/// A running name server. It stops when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    questions: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl NameServer {
    /// Starts a server that answers as `answer` says, given the number of the question (from 0) and the name asked for.
    ///
    /// # Errors
    ///
    /// Fails when no socket can be bound on loopback.
    #[expect(
        clippy::disallowed_methods,
        reason = "it is a server for tests, and sends only to loopback"
    )]
    pub async fn start(answer: impl Fn(usize, &str) -> Reply + Send + 'static) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let questions = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(socket, questions.clone(), answer));
        Ok(Self {
            address,
            questions,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many questions it was asked.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    socket: UdpSocket,
    questions: Arc<AtomicUsize>,
    answer: impl Fn(usize, &str) -> Reply + Send,
) {
    let mut datagram = [0; 1_500];
    while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
        let Some(question) = Question::parse(&datagram[..length]) else {
            continue;
        };
        let number = questions.fetch_add(1, Ordering::SeqCst);
        if let Some(reply) = question.reply(&answer(number, &question.name)) {
            let _gone = socket.send_to(&reply, from).await;
        }
    }
}

/// The first question of a query, with the bytes of it that the reply repeats.
struct Question {
    id: [u8; 2],
    bytes: Vec<u8>,
    name: String,
    kind: u16,
}

const HEADER_BYTES: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;

impl Question {
    fn parse(query: &[u8]) -> Option<Self> {
        let mut labels = Vec::new();
        let mut at = HEADER_BYTES;
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
        Some(Self {
            id: query.get(..2)?.try_into().ok()?,
            bytes: query.get(HEADER_BYTES..at + 4)?.to_vec(),
            name: labels.join("."),
            kind,
        })
    }

    fn reply(&self, reply: &Reply) -> Option<Vec<u8>> {
        let (code, records) = match reply {
            Reply::Addresses(addresses, ttl_seconds) => (0, self.records(addresses, *ttl_seconds)),
            Reply::ServerFailure => (2, Vec::new()),
            Reply::NoSuchName => (3, Vec::new()),
            Reply::Silence => return None,
        };
        let answers = u8::try_from(records.len()).ok()?;
        // A recursive answer to one question.
        let flags_and_counts = [0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0];
        let mut bytes = [&self.id[..], &flags_and_counts, &self.bytes].concat();
        bytes.extend(records.concat());
        Some(bytes)
    }

    fn records(&self, addresses: &[IpAddr], ttl_seconds: u32) -> Vec<Vec<u8>> {
        let datas = addresses.iter().filter_map(|address| match address {
            IpAddr::V4(v4) if self.kind == A => Some(v4.octets().to_vec()),
            IpAddr::V6(v6) if self.kind == AAAA => Some(v6.octets().to_vec()),
            _ => None,
        });
        let record = |data: Vec<u8>| {
            // The name is a pointer to the question's.
            let mut bytes = vec![0xc0, 12];
            bytes.extend(self.kind.to_be_bytes());
            bytes.extend([0, 1]);
            bytes.extend(ttl_seconds.to_be_bytes());
            bytes.extend([0, u8::try_from(data.len()).unwrap_or_default()]);
            bytes.extend(data);
            bytes
        };
        datas.map(record).collect()
    }
}

//! Slow clients: connections that send a start at once and then one byte at a time, until the edge closes them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// What slow clients do.
#[derive(Clone, Debug)]
pub struct Dribble {
    /// Whom they connect to.
    pub edge: SocketAddr,
    /// Where they connect from, such as 127.0.0.2: an edge takes so many connections of one address.
    pub from: IpAddr,
    /// What they send at once.
    pub start: String,
    /// How long they wait between bytes.
    pub each: Duration,
}

/// Slow clients at work, closed when dropped.
#[derive(Debug)]
pub struct Dribblers(JoinSet<Dribbled>);

/// The end of a slow client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dribbled {
    /// How long it lasted.
    pub lasted: Duration,
    /// What it was told before it was closed.
    pub told: String,
}

impl Dribble {
    /// Clients whose head does not end.
    pub fn heads(edge: SocketAddr, each: Duration) -> Self {
        let start = "POST / HTTP/1.1\r\nhost: edge\r\nx-slow: ".to_owned();
        Self {
            edge,
            from: [127, 0, 0, 1].into(),
            start,
            each,
        }
    }

    /// Clients whose body of 100,000 bytes does not end.
    pub fn bodies(edge: SocketAddr, source_id: &str, each: Duration) -> Self {
        let start = format!(
            "POST /in/{source_id} HTTP/1.1\r\nhost: edge\r\ncontent-length: 100000\r\n\r\n"
        );
        Self {
            start,
            ..Self::heads(edge, each)
        }
    }

    /// Opens so many connections.
    ///
    /// # Errors
    ///
    /// When one cannot be opened.
    pub async fn open(&self, connections: usize) -> io::Result<Dribblers> {
        let mut dribblers = JoinSet::new();
        for _ in 0..connections {
            let stream = self.connect().await?;
            dribblers.spawn(dribble(stream, self.start.clone(), self.each));
        }
        Ok(Dribblers(dribblers))
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = match self.edge {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(SocketAddr::new(self.from, 0))?;
        let stream = socket.connect(self.edge).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Dribblers {
    /// Waits until the edge has closed all of them.
    pub async fn closed(self) -> Vec<Dribbled> {
        self.0.join_all().await
    }
}

async fn dribble(mut stream: TcpStream, start: String, each: Duration) -> Dribbled {
    let opened = Instant::now();
    let (mut from, mut to) = stream.split();
    let writes = async {
        let mut ticks = interval(each);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = to.write_all(start.as_bytes()).await.is_ok();
        while open {
            ticks.tick().await;
            open = to.write_all(b"a").await.is_ok();
        }
        // What was told may still be read.
        std::future::pending::<()>().await;
    };
    let mut told = Vec::new();
    tokio::select! {
        // A connection that was reset is closed too.
        _closed = from.read_to_end(&mut told) => {}
        () = writes => {}
    }
    Dribbled {
        lasted: opened.elapsed(),
        told: String::from_utf8_lossy(&told).into_owned(),
    }
}

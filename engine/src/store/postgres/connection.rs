//! One connection to the database: statements are prepared once, and what needs no answer of its own goes out with what
//! follows. The wire is PostgreSQL's protocol 3 (PostgreSQL 15 documentation §55).

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read, Write};

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;

use crate::store::postgres::url::{StoreUrl, TlsMode};
use crate::store::sql::Database;
use crate::store::sql::value::{Broken, Param, Row, Table, ToParam, Value};
use crate::store::wire::{Stream, Trust};

/// Statements that are prepared with the connection.
pub const CONTROLS: [&str; 6] = [BEGIN, SAVEPOINT, RELEASE, BACK, COMMIT, ROLLBACK];
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
pub const SAVEPOINT: &str = "SAVEPOINT operation";
pub const RELEASE: &str = "RELEASE SAVEPOINT operation";
pub const BACK: &str = "ROLLBACK TO SAVEPOINT operation";
pub const COMMIT: &str = "COMMIT";
pub const ROLLBACK: &str = "ROLLBACK";

/// A connection that has shown who it is.
#[derive(Debug)]
pub struct Connection(RefCell<Wire>);

#[derive(Debug)]
struct Wire {
    stream: Stream,
    inbound: BytesMut,
    outbound: BytesMut,
    /// Statements by their text and the kinds of their parameters.
    prepared: HashMap<(String, String), Prepared>,
    /// Statements that go out with the next one.
    ahead: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Prepared {
    name: String,
    /// The types of the columns of its answer.
    columns: Vec<u32>,
}

impl Connection {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`Broken::Gone`]: nobody is there, or the user or the password are wrong; the text says which.
    pub fn open(url: &StoreUrl) -> Result<Self, Broken> {
        let stream = connect(url).map_err(gone)?;
        let (inbound, outbound) = (BytesMut::new(), BytesMut::new());
        let mut wire = Wire { stream, inbound, outbound, prepared: HashMap::new(), ahead: Vec::new() };
        wire.log_in(url)?;
        for control in CONTROLS {
            // Its name is its text.
            frontend::parse(control, control, [], &mut wire.outbound).map_err(gone)?;
        }
        frontend::sync(&mut wire.outbound);
        wire.flush()?;
        wire.finish(|_| Ok(()))?;
        Ok(Self(RefCell::new(wire)))
    }

    /// Has `statement`, one of [`CONTROLS`] whose answer nobody needs, go out before the next one.
    pub fn ahead(&self, statement: &'static str) {
        self.0.borrow_mut().ahead.push(statement);
    }

    /// Has one of [`CONTROLS`] go out after all that goes ahead of it, and waits until all is done.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn control(&self, statement: &'static str) -> Result<(), Broken> {
        let mut wire = self.0.borrow_mut();
        wire.ahead.push(statement);
        wire.send_ahead()?;
        frontend::sync(&mut wire.outbound);
        wire.flush()?;
        wire.finish(|_| Ok(()))
    }

    /// Forgets what was to go ahead.
    pub fn forget(&self) {
        self.0.borrow_mut().ahead.clear();
    }

    /// Runs statements without parameters, as they are.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn batch(&self, sql: &str) -> Result<(), Broken> {
        let mut wire = self.0.borrow_mut();
        frontend::query(sql, &mut wire.outbound).map_err(gone)?;
        wire.flush()?;
        wire.finish(|_| Ok(()))
    }
}

impl Database for Connection {
    fn run(&self, sql: &str, params: &[&dyn ToParam]) -> Result<Table, Broken> {
        let mut wire = self.0.borrow_mut();
        let params: Vec<Param<'_>> = params.iter().map(|param| param.to_param()).collect();
        let kinds = params.iter().map(|param| kind(*param)).collect();
        let key = (sql.to_owned(), kinds);
        let before = wire.ahead.len();
        wire.send_ahead()?;
        let known = wire.prepared.get(&key).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => {
                let name = format!("s{}", wire.prepared.len());
                let types = params.iter().map(|param| type_of(*param));
                frontend::parse(&name, &dialect(sql), types, &mut wire.outbound).map_err(gone)?;
                frontend::describe(b'S', &name, &mut wire.outbound).map_err(gone)?;
                Prepared { name, columns: Vec::new() }
            }
        };
        wire.send(&statement.name, &params)?;
        frontend::sync(&mut wire.outbound);
        wire.flush()?;
        wire.take(before, key, statement)
    }
}

impl Wire {
    fn log_in(&mut self, url: &StoreUrl) -> Result<(), Broken> {
        let parameters = [
            ("user", url.user.as_str()),
            ("database", &url.database),
            ("client_encoding", "UTF8"),
            ("application_name", "visavis"),
        ];
        frontend::startup_message(parameters, &mut self.outbound).map_err(gone)?;
        self.flush()?;
        let mut scram = None;
        loop {
            match self.read()? {
                Message::AuthenticationOk => break,
                Message::AuthenticationCleartextPassword if matches!(self.stream, Stream::Tls(_)) => {
                    frontend::password_message(url.password.as_bytes(), &mut self.outbound).map_err(gone)?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(url.user.as_bytes(), url.password.as_bytes(), body.salt());
                    frontend::password_message(hash.as_bytes(), &mut self.outbound).map_err(gone)?;
                }
                Message::AuthenticationSasl(body) => {
                    let offered: Vec<String> =
                        body.mechanisms().map(|name| Ok(name.to_owned())).collect().map_err(gone)?;
                    let does = |name: &str| offered.iter().any(|offered| offered == name);
                    // RFC 5802 §6: whoever can bind to the channel does so, and no attacker takes the offer away.
                    let (mechanism, binding) = match self.stream.end_point() {
                        Some(end_point) if does(SCRAM_SHA_256_PLUS) => {
                            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(end_point))
                        }
                        Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
                        None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
                    };
                    if !does(mechanism) {
                        return Err(Broken::Gone(
                            "the database asks for a password in a way that is not spoken here".into(),
                        ));
                    }
                    let exchange = ScramSha256::new(url.password.as_bytes(), binding);
                    frontend::sasl_initial_response(mechanism, exchange.message(), &mut self.outbound).map_err(gone)?;
                    scram = Some(exchange);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let exchange = scram.as_mut().ok_or_else(unexpected)?;
                    exchange.update(body.data()).map_err(gone)?;
                    frontend::sasl_response(exchange.message(), &mut self.outbound).map_err(gone)?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    scram.as_mut().ok_or_else(unexpected)?.finish(body.data()).map_err(gone)?;
                }
                Message::ErrorResponse(body) => return Err(Broken::Gone(broken(&body).to_string())),
                Message::NoticeResponse(_) | Message::ParameterStatus(_) => {}
                _ => {
                    return Err(Broken::Gone(
                        "the database asks for a password in a way that is not spoken here".into(),
                    ));
                }
            }
            self.flush()?;
        }
        self.finish(|_| Ok(()))
    }

    fn send_ahead(&mut self) -> Result<(), Broken> {
        std::mem::take(&mut self.ahead).into_iter().try_for_each(|statement| self.send(statement, &[]))
    }

    /// A statement's execution, without the word that ends it.
    fn send(&mut self, name: &str, params: &[Param<'_>]) -> Result<(), Broken> {
        let write = |param: &Param<'_>, out: &mut BytesMut| {
            match param {
                Param::Null => return Ok(IsNull::Yes),
                Param::Integer(number) => out.extend_from_slice(&number.to_be_bytes()),
                Param::Text(text) => out.extend_from_slice(text.as_bytes()),
                Param::Bytes(bytes) => out.extend_from_slice(bytes),
            }
            Ok(IsNull::No)
        };
        // All in binary form.
        frontend::bind("", name, [1], params, write, [1], &mut self.outbound)
            .map_err(|_| Broken::Other("a parameter is too long".into()))?;
        frontend::execute("", 0, &mut self.outbound).map_err(gone)
    }

    /// Reads the answers to `before` statements and to `statement`.
    fn take(&mut self, before: usize, key: (String, String), mut statement: Prepared) -> Result<Table, Broken> {
        let (mut table, mut ended, mut described) = (Table::default(), 0, None);
        let outcome = self.finish(|message| {
            match message {
                Message::RowDescription(body) => {
                    described = Some(body.fields().map(|field| Ok(field.type_oid())).collect().map_err(gone)?);
                }
                Message::NoData => described = Some(Vec::new()),
                Message::DataRow(body) => {
                    let columns = described.as_ref().unwrap_or(&statement.columns);
                    table.rows.push(row_of(body, columns).map_err(gone)?);
                }
                Message::CommandComplete(body) => {
                    ended += 1;
                    if ended > before {
                        // "INSERT 0 5", "UPDATE 5", "SELECT 5".
                        let tag = body.tag().map_err(gone)?;
                        table.changed = tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
                    }
                }
                _ => {}
            }
            Ok(())
        });
        if let Some(columns) = described {
            statement.columns = columns;
            self.prepared.insert(key, statement);
        }
        outcome.map(|()| table)
    }

    /// Reads until the database is ready for more, and gives each message to `hear`.
    fn finish(&mut self, mut hear: impl FnMut(&Message) -> Result<(), Broken>) -> Result<(), Broken> {
        let mut outcome = Ok(());
        loop {
            match self.read()? {
                Message::ReadyForQuery(_) => return outcome,
                Message::ErrorResponse(body) => {
                    let broken = broken(&body);
                    // Whoever is told to go finds no readiness any more.
                    if matches!(broken, Broken::Gone(_)) {
                        return Err(broken);
                    }
                    outcome = outcome.and(Err(broken));
                }
                message => hear(&message)?,
            }
        }
    }

    fn flush(&mut self) -> Result<(), Broken> {
        let out = self.outbound.split();
        self.stream.write_all(&out).and_then(|()| self.stream.flush()).map_err(gone)
    }

    fn read(&mut self) -> Result<Message, Broken> {
        loop {
            if let Some(message) = Message::parse(&mut self.inbound).map_err(gone)? {
                return Ok(message);
            }
            let mut bytes = [0; 8192];
            match self.stream.read(&mut bytes).map_err(gone)? {
                0 => return Err(Broken::Gone("the database has closed the connection".into())),
                length => self.inbound.extend_from_slice(bytes.get(..length).unwrap_or_default()),
            }
            if self.inbound.len() > LARGEST_ANSWER {
                return Err(Broken::Gone("the database answers with more than it was asked for".into()));
            }
        }
    }
}

/// A socket to the database, with TLS where the URL wants it.
fn connect(url: &StoreUrl) -> io::Result<Stream> {
    let mut socket = Stream::connect(&url.host, url.port)?;
    let trust = match &url.tls {
        TlsMode::Off => return Ok(Stream::Plain(socket)),
        TlsMode::Require => Trust::Later,
        TlsMode::Verify(roots) => Trust::Authorities(roots.clone()),
    };
    // "SSLRequest": PostgreSQL 15 documentation §55.2.10.
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request)?;
    let mut answer = [0];
    socket.read_exact(&mut answer)?;
    if answer != *b"S" {
        return Err(io::Error::other("the database speaks no TLS: switch it on there, or say sslmode=disable"));
    }
    Stream::secure(socket, &url.host, &trust)
}

fn row_of(body: &DataRowBody, columns: &[u32]) -> io::Result<Row> {
    let mut ranges = body.ranges();
    let mut values = Vec::with_capacity(columns.len());
    let mut types = columns.iter();
    while let Some(range) = ranges.next()? {
        let bytes = range.and_then(|range| body.buffer().get(range));
        let kind = types.next().copied().unwrap_or_default();
        values.push(bytes.map_or(Ok(Value::Null), |bytes| value_of(kind, bytes))?);
    }
    Ok(Row(values))
}

/// The types' numbers are those of PostgreSQL's catalogue `pg_type`.
fn value_of(kind: u32, bytes: &[u8]) -> io::Result<Value> {
    let number =
        |value: Option<i64>| value.map(Value::Integer).ok_or_else(|| io::Error::other("a number of no length"));
    match kind {
        BOOL => number(bytes.first().map(|byte| i64::from(*byte))),
        INT2 => number(bytes.try_into().ok().map(|bytes| i16::from_be_bytes(bytes).into())),
        INT4 => number(bytes.try_into().ok().map(|bytes| i32::from_be_bytes(bytes).into())),
        INT8 => number(bytes.try_into().ok().map(i64::from_be_bytes)),
        BYTEA => Ok(Value::Bytes(bytes.to_vec())),
        TEXT | VARCHAR | UNKNOWN => String::from_utf8(bytes.to_vec()).map(Value::Text).map_err(io::Error::other),
        other => Err(io::Error::other(format!("a column of type {other}, which is not known here"))),
    }
}

const fn type_of(param: Param<'_>) -> u32 {
    match param {
        Param::Null => 0,
        Param::Integer(_) => INT8,
        Param::Text(_) => TEXT,
        Param::Bytes(_) => BYTEA,
    }
}

const fn kind(param: Param<'_>) -> char {
    match param {
        Param::Null => 'n',
        Param::Integer(_) => 'i',
        Param::Text(_) => 't',
        Param::Bytes(_) => 'b',
    }
}

/// The statement in PostgreSQL's words.
fn dialect(sql: &str) -> String {
    sql.replace('?', "$").replace("instr(", "strpos(")
}

/// By SQLSTATE (PostgreSQL 15 documentation, appendix A).
fn broken(body: &ErrorResponseBody) -> Broken {
    let (mut code, mut text) = (String::new(), String::new());
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => code = value(),
            b'M' => text = value(),
            _ => {}
        }
    }
    let text = format!("{text} ({code})");
    match (code.as_str(), code.get(..2)) {
        // Serialization failure, deadlock: another transaction was in the way.
        ("40001" | "40P01", _) => Broken::Conflict(text),
        ("53100", _) => Broken::Full(text),
        // Connections that end, a server that stops or starts, one that only reads, too many connections.
        ("25006", _) | (_, Some("08" | "28" | "53" | "57")) => Broken::Gone(text),
        _ => Broken::Other(text),
    }
}

fn gone(error: io::Error) -> Broken {
    Broken::Gone(error.to_string())
}

fn unexpected() -> Broken {
    Broken::Gone("the database answers what was not asked".into())
}

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const UNKNOWN: u32 = 705;
const VARCHAR: u32 = 1043;

/// A hundred thousand lines of an account's own words, and some.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

//! What those who run the service do: read reports, suspend accounts.

use super::accounts::{find, holder, person_at};
use super::value::{Row, params};
use super::{Db, Outcome, refuse};
use crate::proto::keys::Digest;
use crate::proto::service::account::{Report, Reports};
use crate::proto::service::names::{AccountName, Millis};
use crate::proto::service::refusal::Code;
use crate::proto::text::{List, Prose};
use crate::store::op::accounts::Answer;

pub(super) fn reports(database: Db<'_>, access: &Digest, after: u64, at: Millis) -> Outcome<Answer> {
    running(database, access, at)?;
    let query = "SELECT r.id, r.at, r.text, a.id, a.name, a.key, a.display, b.id, b.name, b.key, b.display \
                 FROM reports r JOIN accounts a ON a.id = r.account JOIN accounts b ON b.id = r.about \
                 WHERE r.done = 0 AND r.id > ?1 ORDER BY r.id LIMIT 100";
    let read = |row: &Row| {
        let text: String = row.get(2)?;
        Ok(Report {
            number: row.get(0)?,
            at: Millis(row.get(1)?),
            by: person_at(row, 3)?.1,
            about: person_at(row, 7)?.1,
            text: Prose::cut(&text),
        })
    };
    let reports = database.rows(query, params![after], read)?;
    Ok(Answer::Reports(Box::new(Reports { reports: List::cut(reports) })))
}

pub(super) fn close_report(database: Db<'_>, access: &Digest, number: u64, at: Millis) -> Outcome<Answer> {
    running(database, access, at)?;
    if database.execute("UPDATE reports SET done = 1 WHERE id = ?1", params![number])? == 0 {
        return refuse(Code::NotFound, "there is no such report");
    }
    Ok(Answer::Done)
}

pub(super) fn suspend(
    database: Db<'_>,
    access: &Digest,
    name: &AccountName,
    suspended: bool,
    at: Millis,
) -> Outcome<Answer> {
    running(database, access, at)?;
    let (account, _) = find(database, name)?;
    let update = "UPDATE accounts SET suspended = ?2 WHERE id = ?1 AND admin = 0";
    if database.execute(update, params![account.0, suspended])? == 0 {
        return refuse(Code::Forbidden, "they run the service too");
    }
    if suspended {
        database.execute("DELETE FROM tokens WHERE account = ?1", params![account.0])?;
    }
    Ok(Answer::Suspended(account))
}

/// Whoever does not run the service finds nothing here.
fn running(database: Db<'_>, access: &Digest, at: Millis) -> Outcome<()> {
    if holder(database, access, at)?.admin {
        Ok(())
    } else {
        refuse(Code::Forbidden, "that is for those who run the service")
    }
}

//! Founding records on the wire. What comes from a peer is parsed or refused.

use quorate_registry::NodeKey;
use quorate_rpc::v1;

use crate::founding::{Heard, Record, Seat};

/// A founding record as sent.
pub fn record_to_wire(record: &Record) -> v1::FoundingRecord {
    let seat = |seat: &Seat| v1::Seat {
        address: seat.address.clone(),
        resp_address: seat.resp.clone(),
        sentinel_id: seat.sentinel_id.clone(),
    };
    v1::FoundingRecord { round: record.round, seats: record.seats.iter().map(seat).collect() }
}

fn record_from_wire(record: v1::FoundingRecord) -> Option<Record> {
    let seat = |seat: v1::Seat| Seat { address: seat.address, resp: seat.resp_address, sentinel_id: seat.sentinel_id };
    let record = Record { round: record.round, seats: record.seats.into_iter().map(seat).collect() };
    record.is_sound().then_some(record)
}

/// What a peer says of itself, as received; `None` when it makes no sense.
pub fn heard_from_wire(reply: v1::FoundingReply) -> Option<Heard> {
    let record = |record: Option<v1::FoundingRecord>| match record {
        Some(record) => record_from_wire(record).map(Some),
        None => Some(None),
    };
    if !reply.cluster_id.is_empty() {
        return Some(Heard::Member { cluster_id: reply.cluster_id, founded: record(reply.founded)? });
    }
    reply.resp_address.parse::<NodeKey>().ok()?;
    if reply.sentinel_id.len() != 40 {
        return None;
    }
    let seat = Seat { address: reply.address, resp: reply.resp_address, sentinel_id: reply.sentinel_id };
    Some(Heard::Blank { seat, pledge: record(reply.pledge)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let seat =
            |n: u16| Seat { address: format!("h:{n}"), resp: format!("h:{}", n + 1), sentinel_id: format!("{n:040}") };
        Record { round: 3, seats: vec![seat(1), seat(2), seat(3)] }
    }

    fn member() -> v1::FoundingReply {
        v1::FoundingReply { cluster_id: "c".into(), founded: Some(record_to_wire(&record())), ..Default::default() }
    }

    #[test]
    fn a_record_arrives_as_it_was() {
        let heard = Heard::Member { cluster_id: "c".into(), founded: Some(record()) };
        assert_eq!(heard_from_wire(member()), Some(heard));
    }

    #[test]
    fn nonsense_is_refused() {
        let check = |change: &dyn Fn(&mut v1::FoundingReply)| {
            let mut reply = member();
            change(&mut reply);
            assert!(heard_from_wire(reply.clone()).is_none(), "{reply:?}");
        };
        check(&|reply| reply.founded.as_mut().expect("there").seats.swap(0, 1));
        check(&|reply| reply.founded.as_mut().expect("there").seats.clear());
        check(&|reply| reply.founded.as_mut().expect("there").seats[0].resp_address = "nowhere".into());
        check(&|reply| reply.founded.as_mut().expect("there").seats[0].sentinel_id.clear());
        check(&|reply| reply.cluster_id.clear());
    }
}

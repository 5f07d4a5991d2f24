//! What a peer may say: every field on which `raft` asserts is checked here first, so that no bytes can panic a node.
//!
//! The list follows raft 0.7's own `fatal!`, `assert!`, indexing and arithmetic; each check names what it prevents. Checks that need
//! the node's log are in [`check_against`].

use std::collections::BTreeSet;

use prost011::Message as _;
use raft::eraftpb::{ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType, Snapshot};

use crate::RaftId;

/// No honest index or term comes near; sums and successors of these do not overflow.
const MAX: u64 = 1 << 60;
/// More members than any group of sentinels has.
const MAX_MEMBERS: usize = 64;

/// Why a peer's message was not taken. The stream that carried it should be closed: an honest peer never sends one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Not an eraftpb.Message, or an enum value that this version does not know.
    #[error("the message does not decode")]
    Undecodable,
    /// Above [`crate::Limits::incoming_bytes`].
    #[error("the message is too large")]
    TooLarge,
    /// Sent in another's name, or to another member.
    #[error("the message is from or for somebody else")]
    Misaddressed,
    /// A kind that members never send to each other.
    #[error("a message of this kind is never sent between members")]
    LocalKind,
    /// A field with a value that no honest member sends.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// The sender believes that we hold entries that we do not: our log was lost, or its view of us is forged.
    #[error("the sender counts on entries that this member does not hold")]
    AheadOfUs,
}

use BadMessage::Malformed;

/// Decodes and checks what needs no knowledge of the log.
pub(crate) fn decode(bytes: &[u8], from: RaftId, me: RaftId, limit: usize) -> Result<Message, BadMessage> {
    if bytes.len() > limit {
        return Err(BadMessage::TooLarge);
    }
    let message = Message::decode(bytes).map_err(|_| BadMessage::Undecodable)?;
    let kind = MessageType::from_i32(message.msg_type).ok_or(BadMessage::Undecodable)?;
    if message.from != from.0 || message.to != me.0 || from == me {
        return Err(BadMessage::Misaddressed);
    }
    check_kind(kind, &message)?;
    check_numbers(&message)?;
    check_entries(kind, &message)?;
    match (kind, &message.snapshot) {
        (MessageType::MsgSnapshot, Some(snapshot)) => {
            check_snapshot(snapshot)?;
            if snapshot.get_metadata().term > message.term {
                return Err(Malformed("a snapshot from a later term"));
            }
        }
        (MessageType::MsgSnapshot, None) => return Err(Malformed("a snapshot without content")),
        // Never read by `raft`, so never worth its bytes.
        (_, Some(snapshot)) if *snapshot != Snapshot::default() => {
            return Err(Malformed("an unasked snapshot"));
        }
        _ => {}
    }
    Ok(message)
}

/// Term 0 marks a local message, which skips the term's checks: only a forwarded read may have it.
fn check_kind(kind: MessageType, message: &Message) -> Result<(), BadMessage> {
    use MessageType::*;
    match kind {
        MsgHup | MsgBeat | MsgUnreachable | MsgSnapStatus | MsgCheckQuorum => Err(BadMessage::LocalKind),
        // Proposals and transfers are forwarded above Raft, with their authority checked: never by Raft itself.
        MsgPropose | MsgTransferLeader => Err(BadMessage::LocalKind),
        MsgReadIndex if message.term == 0 => Ok(()),
        MsgReadIndex => Err(Malformed("a read with a term")),
        _ if message.term == 0 => Err(Malformed("no term")),
        _ => Ok(()),
    }
}

fn check_numbers(m: &Message) -> Result<(), BadMessage> {
    let numbers = [m.term, m.log_term, m.index, m.commit, m.commit_term, m.request_snapshot, m.reject_hint];
    if numbers.iter().any(|n| *n > MAX) {
        return Err(Malformed("a number beyond all bounds"));
    }
    Ok(())
}

fn check_entries(kind: MessageType, message: &Message) -> Result<(), BadMessage> {
    use MessageType::*;
    match kind {
        MsgAppend => {
            if message.log_term > message.term {
                return Err(Malformed("an append upon a later term"));
            }
            let (mut index, mut term) = (message.index, message.log_term);
            for entry in &message.entries {
                check_entry(entry)?;
                // A hole or a shuffled entry panics on slicing; a falling term breaks log matching.
                if entry.index != index + 1 || entry.term < term || entry.term > message.term {
                    return Err(Malformed("entries out of order"));
                }
                (index, term) = (entry.index, entry.term);
            }
            Ok(())
        }
        // `raft` reads entries[0].
        MsgReadIndex | MsgReadIndexResp => match message.entries.as_slice() {
            [entry] if EntryType::from_i32(entry.entry_type) == Some(EntryType::EntryNormal) => Ok(()),
            _ => Err(Malformed("a read without its name")),
        },
        _ if message.entries.is_empty() => Ok(()),
        _ => Err(Malformed("unasked entries")),
    }
}

/// Is this an entry that a leader of ours can have written?
pub(crate) fn check_entry(entry: &Entry) -> Result<(), BadMessage> {
    if entry.index == 0 || entry.index > MAX || entry.term == 0 || entry.term > MAX {
        return Err(Malformed("an entry's index or term"));
    }
    match EntryType::from_i32(entry.entry_type) {
        Some(EntryType::EntryNormal) => Ok(()),
        Some(EntryType::EntryConfChangeV2) => decode_change(&entry.data).map(|_| ()),
        Some(EntryType::EntryConfChange) => Err(Malformed("a change of members in the old format")),
        None => Err(BadMessage::Undecodable),
    }
}

/// A committed or arriving change of members; empty data leaves a joint configuration.
pub(crate) fn decode_change(data: &[u8]) -> Result<ConfChangeV2, BadMessage> {
    let change = ConfChangeV2::decode(data).map_err(|_| BadMessage::Undecodable)?;
    if raft::eraftpb::ConfChangeTransition::from_i32(change.transition).is_none() {
        return Err(BadMessage::Undecodable);
    }
    if change.changes.len() > MAX_MEMBERS {
        return Err(Malformed("too many changes at once"));
    }
    for one in &change.changes {
        if ConfChangeType::from_i32(one.change_type).is_none() {
            return Err(BadMessage::Undecodable);
        }
        if one.node_id == 0 {
            return Err(Malformed("member 0"));
        }
    }
    Ok(change)
}

/// A snapshot's frame; its state is the state machine's to judge.
pub(crate) fn check_snapshot(snapshot: &Snapshot) -> Result<(), BadMessage> {
    let meta = snapshot.metadata.as_ref().ok_or(Malformed("a snapshot without metadata"))?;
    if meta.index == 0 || meta.index > MAX || meta.term == 0 || meta.term > MAX {
        return Err(Malformed("a snapshot's index or term"));
    }
    check_members(meta.conf_state.as_ref().ok_or(Malformed("a snapshot without members"))?)
}

/// The rules of a member list, which `raft` takes for granted when it restores one.
fn check_members(conf: &ConfState) -> Result<(), BadMessage> {
    let set = |ids: &[u64]| -> Result<BTreeSet<u64>, BadMessage> {
        let set: BTreeSet<u64> = ids.iter().copied().collect();
        if set.len() != ids.len() || set.contains(&0) || set.len() > MAX_MEMBERS {
            return Err(Malformed("a member list with doubles, zeros or crowds"));
        }
        Ok(set)
    };
    let (voters, learners) = (set(&conf.voters)?, set(&conf.learners)?);
    let (outgoing, next) = (set(&conf.voters_outgoing)?, set(&conf.learners_next)?);
    let joint = !outgoing.is_empty();
    let sound = !voters.is_empty()
        && learners.is_disjoint(&voters)
        && learners.is_disjoint(&outgoing)
        && next.is_subset(&outgoing)
        && next.is_disjoint(&voters)
        && (joint || !conf.auto_leave);
    if sound { Ok(()) } else { Err(Malformed("a member list that contradicts itself")) }
}

/// Where this node stands, for the checks that need it.
pub(crate) struct Standing {
    pub(crate) term: u64,
    pub(crate) last: u64,
    pub(crate) leading: bool,
}

/// Checks against our own log: what the sender says that we hold, or that it holds of ours.
pub(crate) fn check_against(m: &Message, us: &Standing) -> Result<(), BadMessage> {
    if m.term < us.term {
        return Ok(()); // old news: dropped or answered by `raft` without looking further
    }
    match m.get_msg_type() {
        // A leader only sends commits that we acknowledged.
        MessageType::MsgHeartbeat if m.commit > us.last => Err(BadMessage::AheadOfUs),
        // An acknowledgement of what was never sent would make the leader read beyond its log.
        MessageType::MsgAppendResponse if us.leading && m.term == us.term && !m.reject && m.index > us.last => {
            Err(Malformed("an acknowledgement of entries that were never sent"))
        }
        // Two leaders in a term cannot be; a forged append must not reach the real one.
        MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot
            if us.leading && m.term == us.term =>
        {
            Err(Malformed("a second leader in our term"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append() -> Message {
        let entry = |index| Entry { index, term: 2, data: b"x".to_vec(), ..Default::default() };
        Message {
            msg_type: MessageType::MsgAppend as i32,
            from: 2,
            to: 1,
            term: 3,
            log_term: 1,
            index: 4,
            entries: vec![entry(5), entry(6)],
            ..Default::default()
        }
    }

    fn check(change: impl FnOnce(&mut Message)) -> Result<(), BadMessage> {
        let mut message = append();
        change(&mut message);
        decode(&message.encode_to_vec(), RaftId(2), RaftId(1), 1 << 20).map(|_| ())
    }

    #[test]
    fn an_honest_append_passes() {
        assert_eq!(check(|_| {}), Ok(()));
    }

    #[test]
    fn each_field_that_raft_asserts_on_is_checked() {
        assert_eq!(check(|m| m.msg_type = 99), Err(BadMessage::Undecodable));
        assert_eq!(check(|m| m.entries[0].entry_type = 7), Err(BadMessage::Undecodable));
        assert_eq!(check(|m| m.from = 3), Err(BadMessage::Misaddressed));
        assert_eq!(check(|m| m.to = 3), Err(BadMessage::Misaddressed));
        assert_eq!(check(|m| m.msg_type = MessageType::MsgHup as i32), Err(BadMessage::LocalKind));
        assert_eq!(check(|m| m.msg_type = MessageType::MsgPropose as i32), Err(BadMessage::LocalKind));
        assert!(check(|m| m.term = 0).is_err());
        assert!(check(|m| m.index = u64::MAX).is_err());
        assert!(check(|m| m.entries[1].index = 9).is_err());
        assert!(check(|m| m.entries[1].term = 1).is_err());
        assert!(check(|m| m.entries[1].term = 4).is_err());
        assert!(check(|m| m.entries[0].entry_type = EntryType::EntryConfChange as i32).is_err());
        assert!(check(|m| m.msg_type = MessageType::MsgSnapshot as i32).is_err());
        assert!(check(|m| (m.msg_type, m.term, m.entries) = (MessageType::MsgReadIndex as i32, 0, vec![])).is_err());
    }

    #[test]
    fn member_lists_that_contradict_themselves_are_refused() {
        let list = |voters: &[u64], learners: &[u64], outgoing: &[u64], next: &[u64], auto_leave| {
            check_members(&ConfState {
                voters: voters.to_vec(),
                learners: learners.to_vec(),
                voters_outgoing: outgoing.to_vec(),
                learners_next: next.to_vec(),
                auto_leave,
            })
            .is_ok()
        };
        assert!(list(&[1, 2, 3], &[4], &[], &[], false));
        assert!(list(&[1, 2, 4], &[], &[1, 2, 3], &[3], true));
        assert!(!list(&[], &[1], &[], &[], false));
        assert!(!list(&[1, 1], &[], &[], &[], false));
        assert!(!list(&[0, 1], &[], &[], &[], false));
        assert!(!list(&[1, 2], &[2], &[], &[], false));
        assert!(!list(&[1, 2], &[], &[], &[], true));
        assert!(!list(&[1, 2], &[], &[1, 3], &[4], false));
    }
}

//! `group set|add-node|remove-node`, `sentinels list|remove`: who belongs, who counts, and what is promised.

use std::time::{Duration, Instant};

use quorate_rpc::v1;

use crate::args::{Api, GroupChange, GroupNode, GroupSet, SentinelsOrder};
use crate::control::{Again, Control};
use crate::operate::{block_on, finish, json};
use crate::{Outcome, show};

/// Between two looks at a change that is under way.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long a sentinel that was removed may take to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);

/// `quorate group …`.
pub fn group(change: &GroupChange) -> Outcome {
    finish(block_on(async {
        match change {
            GroupChange::Set(flags) => set(flags).await,
            GroupChange::AddNode(flags) => add_node(flags).await,
            GroupChange::RemoveNode(flags) => remove_node(flags).await,
        }
    }))
}

async fn set(flags: &GroupSet) -> Result<Outcome, Outcome> {
    let control = Control::new(&flags.api)?;
    let settings = flags.settings.iter().cloned().collect();
    let request = v1::SetGroupRequest { group: flags.group.clone(), settings };
    let group =
        control.call(Again::Yes, async |mut client| Ok(client.set_group(request.clone()).await?.into_inner())).await?;
    follow_up(&control, group, flags.wait, &flags.api, in_force).await
}

/// Is what the settings ask for what the group keeps? An error says what is missing.
pub fn in_force(group: &v1::Group) -> Result<(), String> {
    let voting = group.voting.clone().unwrap_or_default();
    match (voting.wanted == group.durability, voting.settled) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("durability {} is asked for, {} is in force", voting.wanted, group.durability)),
        (true, false) => Err(format!("config {} does not bind alone yet", voting.version)),
    }
}

async fn add_node(flags: &GroupNode) -> Result<Outcome, Outcome> {
    let control = Control::new(&flags.api)?;
    let request = v1::NodeRequest { group: flags.group.clone(), node: flags.node.clone() };
    let group = control
        .call(Again::OnlyIfRefused, async |mut client| Ok(client.add_node(request.clone()).await?.into_inner()))
        .await?;
    let votes = |group: &v1::Group| {
        let node = group.nodes.iter().find(|node| node.name == flags.node);
        match node {
            Some(node) if node.voter && group.voting.as_ref().is_some_and(|voting| voting.settled) => Ok(()),
            Some(node) if node.stock => Ok(()), // it never votes
            _ => Err(format!("{} is a learner until it holds the data", flags.node)),
        }
    };
    follow_up(&control, group, flags.wait, &flags.api, votes).await
}

async fn remove_node(flags: &GroupNode) -> Result<Outcome, Outcome> {
    let control = Control::new(&flags.api)?;
    let request = v1::NodeRequest { group: flags.group.clone(), node: flags.node.clone() };
    let group = control
        .call(Again::OnlyIfRefused, async |mut client| Ok(client.remove_node(request.clone()).await?.into_inner()))
        .await?;
    let gone = |group: &v1::Group| match group.nodes.iter().any(|node| node.name == flags.node) {
        true => Err(format!("{} has not given up its vote yet", flags.node)),
        false => Ok(()),
    };
    follow_up(&control, group, flags.wait, &flags.api, gone).await
}

/// Shows the group once the change is in force; after `wait` seconds as it is then, with what is missing.
async fn follow_up(
    control: &Control,
    mut group: v1::Group,
    wait: u64,
    api: &Api,
    done: impl Fn(&v1::Group) -> Result<(), String>,
) -> Result<Outcome, Outcome> {
    let deadline = Instant::now() + Duration::from_secs(wait);
    let mut missing = done(&group).err();
    while missing.is_some() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
        let request = v1::GetGroupRequest { group: group.name.clone() };
        group = control
            .call(Again::Yes, async |mut client| Ok(client.get_group(request.clone()).await?.into_inner()))
            .await?;
        missing = done(&group).err();
    }
    match api.json {
        true => println!("{}", json(&group)),
        false => anstream::print!("{}", show::group(&group)),
    }
    match missing {
        Some(missing) if wait > 0 => {
            Err(Outcome::Failed(format!("committed, and not in force after {wait} s: {missing}")))
        }
        _ => Ok(Outcome::Done),
    }
}

/// `quorate sentinels …`.
pub fn sentinels(order: Option<&SentinelsOrder>, api: &Api) -> Outcome {
    finish(block_on(async {
        let control = Control::new(api)?;
        let list = async || {
            control
                .call(Again::Yes, async |mut client| {
                    Ok(client.list_sentinels(v1::ListSentinelsRequest {}).await?.into_inner())
                })
                .await
        };
        if let Some(SentinelsOrder::Remove { sentinel }) = order {
            let id = identify(&list().await?.sentinels, sentinel)?;
            let request = v1::RemoveSentinelRequest { id };
            control
                .call(Again::OnlyIfRefused, async |mut client| {
                    Ok(client.remove_sentinel(request.clone()).await?.into_inner())
                })
                .await?;
        }
        let mut reply = list().await?;
        if let Some(SentinelsOrder::Remove { sentinel }) = order {
            let deadline = Instant::now() + LEAVE_LIMIT;
            while identify(&reply.sentinels, sentinel).is_ok() && Instant::now() < deadline {
                tokio::time::sleep(LOOK_AGAIN).await;
                reply = list().await?;
            }
        }
        match api.json {
            true => println!("{}", json(&reply)),
            false => anstream::print!("{}", show::sentinels(&reply)),
        }
        Ok(Outcome::Done)
    }))
}

/// The id of the sentinel that is meant: by its id or a beginning of it that no other has, or by one of its addresses.
fn identify(sentinels: &[v1::SentinelInfo], meant: &str) -> Result<String, Outcome> {
    let fits = |sentinel: &&v1::SentinelInfo| {
        let addressed = sentinel.resp_address == meant || sentinel.api_address == meant;
        addressed || (!meant.is_empty() && sentinel.id.starts_with(meant))
    };
    let mut found = sentinels.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.id.clone()),
        (None, _) => Err(Outcome::Failed(format!("no such sentinel: {meant}"))),
        (Some(_), Some(_)) => Err(Outcome::Usage(format!("more than one sentinel's id begins with {meant}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_is_named_by_address_or_by_what_only_it_begins_with() {
        let sentinel = |id: &str, port: u16| v1::SentinelInfo {
            id: id.into(),
            resp_address: format!("h:{port}"),
            api_address: format!("h:{}", port + 1000),
            ..v1::SentinelInfo::default()
        };
        let all = [sentinel("ab1", 1), sentinel("ab2", 2)];
        let named = |meant: &str| identify(&all, meant).map_err(|outcome| format!("{outcome:?}"));
        assert_eq!(named("ab2").as_deref(), Ok("ab2"));
        assert_eq!(named("h:1").as_deref(), Ok("ab1"));
        assert_eq!(named("h:1002").as_deref(), Ok("ab2"));
        assert_eq!(named("ab"), Err("Usage(\"more than one sentinel's id begins with ab\")".into()));
        assert_eq!(named(""), Err("Failed(\"no such sentinel: \")".into()));
    }

    #[test]
    fn what_is_not_in_force_is_named() {
        let check = |durability: &str, wanted: &str, settled: bool, expected: Result<(), &str>| {
            let voting = v1::Voting { version: 7, settled, wanted: wanted.into(), ..v1::Voting::default() };
            let group = v1::Group { durability: durability.into(), voting: Some(voting), ..v1::Group::default() };
            assert_eq!(in_force(&group), expected.map_err(str::to_owned));
        };
        check("quorum", "quorum", true, Ok(()));
        check("async", "quorum", true, Err("durability quorum is asked for, async is in force"));
        check("async", "quorum", false, Err("durability quorum is asked for, async is in force"));
        check("quorum", "quorum", false, Err("config 7 does not bind alone yet"));
    }
}

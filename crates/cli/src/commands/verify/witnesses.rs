//! Whether enough witnesses cosigned, by the verifier's own policy.

use serde::Serialize;
use tally_tlog::{Quorum, SignedCheckpoint, Standing, WitnessPolicy};
use tally_verify::Verdict;

/// What the witnesses of a policy say of a checkpoint.
#[derive(Serialize)]
pub(super) struct Witnesses {
    met: bool,
    cosigned: Vec<String>,
    missing: Vec<String>,
    bad: Vec<String>,
}

impl Witnesses {
    pub(super) fn of(policy: &WitnessPolicy, checkpoint: Option<&SignedCheckpoint>) -> Self {
        let quorum = match checkpoint {
            Some(checkpoint) => policy.judge(checkpoint),
            None => Quorum { met: policy.needs_no_witness(), witnesses: Vec::new() },
        };
        let named = |wanted: fn(&Standing) -> bool| {
            let matching = quorum.witnesses.iter().filter(|(_, standing)| wanted(standing));
            matching.map(|(name, _)| name.to_string()).collect()
        };
        Self {
            met: quorum.met,
            cosigned: named(|standing| matches!(standing, Standing::Cosigned(_))),
            missing: named(|standing| matches!(standing, Standing::Silent)),
            bad: named(|standing| matches!(standing, Standing::Bad(_))),
        }
    }

    /// What holds, and is not witnessed enough, is incomplete.
    pub(super) fn temper(&self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Valid if !self.met => Verdict::Incomplete,
            verdict => verdict,
        }
    }

    pub(super) fn text(&self) -> String {
        let quorum = if self.met { "enough" } else { "NOT enough by your policy" };
        let mut text = format!("witnesses {quorum}");
        for (title, names) in
            [("cosigned", &self.cosigned), ("missing", &self.missing), ("bad", &self.bad)]
        {
            if !names.is_empty() {
                text.push_str(&format!("; {title}: {}", names.join(", ")));
            }
        }
        text
    }
}

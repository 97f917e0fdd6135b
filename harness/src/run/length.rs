//! How long a scenario takes, roughly and in no unit: what is to be run can be put into a good order by it, no more.

use crate::scenario::{Count, Scenario, Step, Text, Upto};

/// More for a scenario that probably takes longer.
pub(super) fn length(scenario: &Scenario) -> u64 {
    of_steps(&scenario.steps)
}

fn of_steps(steps: &[Step]) -> u64 {
    steps.iter().map(of_step).sum()
}

fn of_step(step: &Step) -> u64 {
    /// Whatever takes a few exchanges with the server.
    const EXCHANGE: u64 = 3;
    /// A process that ends and starts.
    const RESTART: u64 = 100;
    /// A bound that is overstepped, an age that passes.
    const EVICTION: u64 = 300;
    match step {
        Step::Publish(publish) => match &publish.count {
            Count::N(count) => events(*count, publish.text),
            Count::Each(_) => EXCHANGE,
        },
        Step::Writer(writer) => events(writer.count, writer.text),
        Step::Seam(seam) => u64::from(seam.times) * (EXCHANGE + u64::from(seam.publish)),
        Step::Churn(churn) => u64::from(churn.connections),
        Step::Restart(restart) => RESTART * if restart.twice { 2 } else { 1 },
        Step::Evict(_) => EVICTION,
        Step::Await(wait) if matches!(wait.upto, Upto::Heartbeat) => EVICTION,
        Step::Do(_) => 5 * EXCHANGE,
        Step::Repeat(repeat) => u64::from(repeat.times) * of_steps(&repeat.steps),
        Step::Open(_)
        | Step::Join(_)
        | Step::Subscribe(_)
        | Step::Resume(_)
        | Step::Drop(_)
        | Step::Cut(_)
        | Step::Stall(_)
        | Step::Unstall(_)
        | Step::Hold(_)
        | Step::Release(_)
        | Step::Shape(_)
        | Step::Await(_)
        | Step::Read(_)
        | Step::Snapshot(_)
        | Step::Close(_)
        | Step::Delete(_)
        | Step::Pause(_)
        | Step::Continue(_)
        | Step::Probe(_)
        | Step::Sample(_)
        | Step::Pay(_) => EXCHANGE,
    }
}

fn events(count: u32, text: Text) -> u64 {
    let each = match text {
        Text::Bulky => 10,
        Text::Large => 100,
        Text::Plain
        | Text::Hostile
        | Text::Separators
        | Text::LineBreaks
        | Text::Controls
        | Text::Unicode
        | Text::FrameLike
        | Text::Surrogates
        | Text::HostileType
        | Text::Secret => 1,
    };
    u64::from(count) * each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_repetitions_and_restarts_take_longer() {
        let of = |steps: &str| {
            let text = format!("name = \"x\"\nsays = \"y\"\nneeds = [\"publish\"]\nsteps = [{{ open = {{ session = \"s\" }} }}, {steps}]");
            length(&Scenario::parse("it", &text).expect("a scenario"))
        };
        let ten = of("{ publish = { session = \"s\", count = 10 } }");
        assert!(ten < of("{ publish = { session = \"s\", count = 10, text = \"bulky\" } }"));
        assert!(ten < of("{ repeat = { times = 9, steps = [{ publish = { session = \"s\", count = 10 } }] } }"));
        assert!(ten < of("{ publish = { session = \"s\", count = 10 } }, { restart = {} }"));
    }
}

//! Fair shares of links: max-min, as many long TCP connections come close to it.

/// Equal flows over one link.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlowClass {
    /// How many flows there are.
    pub(super) flows: f64,
    /// The most that one of them can take, in bytes a second.
    pub(super) cap: f64,
}

/// Returns the rate of one flow of each class on a link of `capacity` bytes a second. No flow gets more than its cap; what
/// it leaves is shared by the others.
pub(super) fn max_min_rates(capacity: f64, classes: &[FlowClass]) -> Vec<f64> {
    let mut rates = vec![0.0; classes.len()];
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|a, b| classes[*a].cap.total_cmp(&classes[*b].cap));
    let mut left = capacity;
    let mut waiting: f64 = classes.iter().map(|class| class.flows).sum();
    // The smallest cap first: once a flow's share is below its cap, all later ones have the same share.
    for at in order {
        let FlowClass { flows, cap } = classes[at];
        let share = if waiting > 0.0 { left / waiting } else { 0.0 };
        rates[at] = cap.min(share);
        left = (left - rates[at] * flows).max(0.0);
        waiting -= flows;
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_fair_and_use_the_link() {
        let rates = |capacity: f64, classes: &[(f64, f64)]| {
            let classes: Vec<_> =
                classes.iter().map(|(flows, cap)| FlowClass { flows: *flows, cap: *cap }).collect();
            max_min_rates(capacity, &classes)
        };
        assert_eq!(rates(100.0, &[(1.0, 30.0)]), [30.0]);
        assert_eq!(rates(100.0, &[(4.0, 30.0)]), [25.0]);
        // One takes 10, the other two share 90.
        assert_eq!(rates(100.0, &[(2.0, 60.0), (1.0, 10.0)]), [45.0, 10.0]);
        assert_eq!(rates(100.0, &[(1.0, 80.0), (1.0, 20.0), (1.0, 30.0)]), [50.0, 20.0, 30.0]);
        assert_eq!(rates(100.0, &[(10.0, f64::INFINITY)]), [10.0]);
        assert_eq!(rates(100.0, &[]), [0.0; 0]);
    }
}

//! The order in which modules depend on each other.

use std::collections::HashSet;

/// Most modules that one module may need, directly or not; real ones need up to 40.
pub(super) const MAX_NEEDED: usize = 1024;

/// For each module, by number, the modules that it needs.
pub(super) struct DependencyOrder {
    /// Without duplicates, in the order in which the module names them.
    needs: Vec<Vec<usize>>,
    /// Place of each module: a module comes before all that it needs.
    places: Vec<usize>,
}

impl DependencyOrder {
    /// Orders modules as depmod does: from modules that nothing needs to those that need nothing. Modules in a
    /// circle come last.
    pub(super) fn new(needs: Vec<Vec<usize>>) -> Self {
        let mut users = vec![0_usize; needs.len()];
        for needed in needs.iter().flatten() {
            users[*needed] += 1;
        }
        let mut places = vec![usize::MAX; needs.len()];
        let mut ready: Vec<usize> = (0..needs.len()).filter(|module| users[*module] == 0).collect();
        let mut next = 0;
        while let Some(module) = ready.pop() {
            places[module] = next;
            next += 1;
            for needed in &needs[module] {
                users[*needed] -= 1;
                if users[*needed] == 0 {
                    ready.push(*needed);
                }
            }
        }
        for place in places.iter_mut().filter(|place| **place == usize::MAX) {
            *place = next;
            next += 1;
        }
        Self { needs, places }
    }

    /// Returns all modules that `module` needs, the last to load first; `None` if there are too many.
    pub(super) fn all_needs(&self, module: usize) -> Option<Vec<usize>> {
        let mut found = HashSet::from([module]);
        let mut pending = vec![module];
        while let Some(next) = pending.pop() {
            for needed in &self.needs[next] {
                if found.insert(*needed) {
                    pending.push(*needed);
                }
            }
            if found.len() > MAX_NEEDED {
                return None;
            }
        }
        found.remove(&module);
        let mut all: Vec<usize> = found.into_iter().collect();
        all.sort_by_key(|needed| self.places[*needed]);
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_behind() {
        // 0 needs 1 and 2; 1 needs 3; 2 needs 1; 4 and 5 need each other.
        let order = DependencyOrder::new(vec![vec![1, 2], vec![3], vec![1], vec![], vec![5], vec![4]]);
        assert_eq!(order.all_needs(0), Some(vec![2, 1, 3]));
        assert_eq!(order.all_needs(3), Some(vec![]));
        assert_eq!((order.all_needs(4), order.all_needs(5)), (Some(vec![5]), Some(vec![4])));
    }

    #[test]
    fn a_module_cannot_need_everything() {
        let chain =
            |length: usize| (0..length).map(|at| if at == 0 { vec![] } else { vec![at - 1] }).collect();
        assert_eq!(DependencyOrder::new(chain(1024)).all_needs(1023).map(|all| all.len()), Some(1023));
        assert_eq!(DependencyOrder::new(chain(1025)).all_needs(1024), None);
    }
}

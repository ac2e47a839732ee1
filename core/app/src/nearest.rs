//! The known word nearest to an unknown one.

use crate::finding::quote;

/// Words longer than this are compared by their beginning, so that a file full of long keys costs little.
const COMPARED: usize = 48;

/// The word of `known` with the fewest edits from `word`, the first of several, and how many edits that is.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<(&'a str, usize)> {
    let word: Vec<char> = word.chars().take(COMPARED).collect();
    let start: String = word.iter().collect();
    let distances = known.into_iter().map(|candidate| {
        // A word that was only begun is close, however long its end.
        let begun = start.len() >= 3 && candidate.starts_with(&start);
        (candidate, if begun { 1 } else { distance(&word, candidate) })
    });
    distances.min_by_key(|(_, distance)| *distance)
}

/// `; did you mean …?` when the word is close, the nearest known one by name when it is not.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, known) {
        // Half of the letters may be wrong before it sounds like a guess.
        Some((near, edits)) if edits <= near.chars().count().div_ceil(2) => format!("; did you mean {}?", quote(near)),
        Some((near, _)) => format!("; the nearest known one is {}", quote(near)),
        None => String::new(),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours between two words, ignoring case.
pub(crate) fn distance(word: &[char], candidate: &str) -> usize {
    let word: Vec<char> = word.iter().flat_map(|letter| letter.to_lowercase()).collect();
    let candidate: Vec<char> = candidate.chars().take(COMPARED).flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=candidate.len()).collect();
    for (row, letter) in word.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in candidate.iter().enumerate() {
            let replace = above[column] + usize::from(letter != other);
            let mut best = replace.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && word[row - 1] == *other && *letter == candidate[column - 1];
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = core::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, candidate: &str, expected: usize) {
        let letters: Vec<char> = word.chars().collect();
        assert_eq!(distance(&letters, candidate), expected, "{word} {candidate}");
    }

    #[test]
    fn distance_counts_edits_and_swaps() {
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "", 3);
        check("enviroment", "environment", 1);
        check("imgae", "image", 1);
        check("kitten", "sitting", 3);
        check("Ports", "ports", 0);
    }

    #[test]
    fn the_nearest_is_named_however_far() {
        let known = ["environment", "ports", "healthcheck"];
        // A service may be called anything, and what is shown stays on its line.
        assert_eq!(suggestion("web", ["w\tb"]), "; did you mean `w\\u{9}b`?");
        assert_eq!(suggestion("enviroment", known), "; did you mean `environment`?");
        assert_eq!(suggestion("health_check", known), "; did you mean `healthcheck`?");
        assert_eq!(suggestion("zzzzzzzz", known), "; the nearest known one is `ports`");
        assert_eq!(suggestion("x", []), "");
        assert_eq!(suggestion("price", ["site", "price_max"]), "; did you mean `price_max`?");
    }
}

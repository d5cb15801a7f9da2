/// Returns the only item, or `None` if there are none or several.
pub(crate) fn exactly_one<T>(items: impl IntoIterator<Item = T>) -> Option<T> {
    let mut items = items.into_iter();
    let item = items.next()?;
    items.next().is_none().then_some(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_item_is_returned() {
        assert_eq!(exactly_one([0; 0]), None);
        assert_eq!(exactly_one([1]), Some(1));
        assert_eq!(exactly_one([1, 2]), None);
    }
}

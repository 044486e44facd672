//! Sets: sorted integers or packed members in their entry while they are small, a table of entries when they are not.

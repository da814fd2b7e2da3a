//! Who may call, and how that is known.

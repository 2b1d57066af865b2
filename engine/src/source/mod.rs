//! Cameras, cards and files: one folder and one enum arm each.

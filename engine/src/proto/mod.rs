//! Wire formats and state machines without IO. Network input never panics here.

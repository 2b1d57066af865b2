//! Microphones and loudspeakers.

//! Configurations as the documentation of well-known software has people write them.

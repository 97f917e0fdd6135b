//! What was observed: records, their file format, and views over them.

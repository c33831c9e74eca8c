//! CronJobs as the API server sends them: schedule, last run, and the longest time between two runs.

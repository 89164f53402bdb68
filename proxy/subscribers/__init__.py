"""Who may use a downstream proxy and on which terms: tiers, quotas, schedules, consent."""

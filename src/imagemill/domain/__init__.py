"""Pure rules: jobs, claims, scheduling, AIRs, image specs. No I/O."""

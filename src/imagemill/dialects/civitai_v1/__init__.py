"""Civitai's orchestration API, version 1: jobs, as the published clients use them."""

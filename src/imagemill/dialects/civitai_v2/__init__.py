"""Civitai's orchestration API v2: workflows of steps, recipes as routes, blobs."""

"""Operations on many jobs, worked off in the background by the leader."""

-- revision 0022
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE jobs (
	id VARCHAR(36) NOT NULL, 
	batch VARCHAR(36) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	recipe VARCHAR(64) NOT NULL, 
	queue VARCHAR(64) NOT NULL, 
	lane INTEGER NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	priority INTEGER NOT NULL, 
	tag DOUBLE NOT NULL, 
	estimate_s DOUBLE NOT NULL, 
	cost DOUBLE NOT NULL, 
	attempt INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	max_failures INTEGER NOT NULL, 
	timeout_s DOUBLE, 
	name VARCHAR(200), 
	dialect VARCHAR(32) NOT NULL, 
	input TEXT NOT NULL, 
	client TEXT NOT NULL, 
	properties TEXT NOT NULL, 
	callback_url TEXT, 
	trace VARCHAR(64) NOT NULL, 
	worker VARCHAR(128), 
	node VARCHAR(128), 
	backend VARCHAR(64), 
	backend_ref VARCHAR(128), 
	reason TEXT, 
	error TEXT, 
	lease_until BIGINT, 
	run_after BIGINT, 
	cancel_requested_at BIGINT, 
	created_at BIGINT NOT NULL, 
	started_at BIGINT, 
	finished_at BIGINT, 
	expires_at BIGINT NOT NULL, 
	last_seq INTEGER NOT NULL, 
	avoid_node VARCHAR(128), 
	avoid_until BIGINT, held BIGINT, replays INTEGER DEFAULT '0' NOT NULL, error_code VARCHAR(32), 
	PRIMARY KEY (id)
);

CREATE INDEX ix_jobs_batch ON jobs (owner, batch);

CREATE INDEX ix_jobs_claimable ON jobs (lane, tag, id) WHERE status = 'queued' AND run_after IS NULL;

CREATE INDEX ix_jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE INDEX ix_jobs_owner ON jobs (owner, id);

CREATE INDEX ix_jobs_parked ON jobs (run_after) WHERE run_after IS NOT NULL;

CREATE INDEX ix_jobs_running ON jobs (node, lease_until) WHERE status = 'running';

CREATE TABLE lanes (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE ("key")
);

CREATE TABLE owners (
	id VARCHAR(64) NOT NULL, 
	weight DOUBLE NOT NULL, 
	created_at BIGINT NOT NULL, role VARCHAR(16) DEFAULT 'user' NOT NULL, parent VARCHAR(64), name VARCHAR(200), disabled_at BIGINT, 
	PRIMARY KEY (id)
);

CREATE TABLE queues (
	name VARCHAR(64) NOT NULL, 
	virtual_time DOUBLE NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE resources (
	"key" VARCHAR(512) NOT NULL, 
	air VARCHAR(512) NOT NULL, 
	type VARCHAR(64) NOT NULL, 
	short_version VARCHAR(32), 
	search TEXT NOT NULL, 
	body TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	PRIMARY KEY ("key")
);

CREATE INDEX ix_resources_short_version ON resources (short_version);

CREATE TABLE shares (
	queue VARCHAR(64) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	finish DOUBLE NOT NULL, 
	PRIMARY KEY (queue, owner)
);

CREATE TABLE submissions (
	owner VARCHAR(64) NOT NULL, 
	"key" VARCHAR(200) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	batch VARCHAR(36) NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (owner, "key")
);

CREATE INDEX ix_submissions_created_at ON submissions (created_at);

CREATE TABLE artifacts (
	job_id VARCHAR(36) NOT NULL, 
	position INTEGER NOT NULL, 
	id VARCHAR(64) NOT NULL, 
	attempt INTEGER NOT NULL, 
	blob_key VARCHAR(255) NOT NULL, 
	media_type VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	seed BIGINT, 
	created_at BIGINT NOT NULL, kept_from BIGINT, owner VARCHAR(64), rating SMALLINT, deleted_at BIGINT, 
	PRIMARY KEY (job_id, position), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE, 
	UNIQUE (id)
);

CREATE TABLE dependencies (
	job_id VARCHAR(36) NOT NULL, 
	needs VARCHAR(36) NOT NULL, 
	PRIMARY KEY (job_id, needs), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE INDEX ix_dependencies_needs ON dependencies (needs);

CREATE TABLE events (
	job_id VARCHAR(36) NOT NULL, 
	seq INTEGER NOT NULL, 
	type VARCHAR(16) NOT NULL, 
	at BIGINT NOT NULL, 
	attempt INTEGER NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (job_id, seq), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;

CREATE TABLE properties (
	job_id VARCHAR(36) NOT NULL, 
	"key" VARCHAR(200) NOT NULL, 
	value VARCHAR(200) NOT NULL, 
	PRIMARY KEY (job_id, "key"), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE INDEX ix_properties_value ON properties ("key", value);

CREATE TABLE deliveries (
	job_id VARCHAR(36) NOT NULL, 
	seq INTEGER NOT NULL, 
	url TEXT NOT NULL, 
	due_at BIGINT, 
	tries INTEGER NOT NULL, 
	delivered_at BIGINT, 
	last_error TEXT, 
	PRIMARY KEY (job_id, seq), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE INDEX ix_deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE nodes (
	name VARCHAR(64) NOT NULL, 
	url TEXT NOT NULL, 
	labels TEXT NOT NULL, 
	queues TEXT NOT NULL, 
	slots INTEGER NOT NULL, 
	memory_mb INTEGER, 
	headers TEXT NOT NULL, 
	verify_tls BOOLEAN NOT NULL, 
	ca_file TEXT, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE drains (
	node VARCHAR(64) NOT NULL, 
	since BIGINT NOT NULL, 
	PRIMARY KEY (node)
);

CREATE TABLE leaders (
	office VARCHAR(64) NOT NULL, 
	holder VARCHAR(128) NOT NULL, 
	until BIGINT NOT NULL, 
	PRIMARY KEY (office)
);

CREATE TABLE users (
	owner VARCHAR(64) NOT NULL, 
	email VARCHAR(254) NOT NULL, 
	password TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	changed_at BIGINT NOT NULL, 
	PRIMARY KEY (owner), 
	FOREIGN KEY(owner) REFERENCES owners (id), 
	UNIQUE (email)
);

CREATE TABLE api_keys (
	id VARCHAR(16) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	scopes TEXT NOT NULL, 
	is_service BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	revoked_at BIGINT, 
	used_at BIGINT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(owner) REFERENCES owners (id)
);

CREATE INDEX ix_api_keys_owner ON api_keys (owner);

CREATE TABLE sessions (
	id VARCHAR(36) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	family VARCHAR(64) NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	revoked_at BIGINT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(owner) REFERENCES owners (id), 
	UNIQUE (digest)
);

CREATE INDEX ix_sessions_expires_at ON sessions (expires_at);

CREATE INDEX ix_sessions_family ON sessions (family);

CREATE INDEX ix_sessions_owner ON sessions (owner);

CREATE TABLE resets (
	digest VARCHAR(64) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	used_at BIGINT, 
	PRIMARY KEY (digest), 
	FOREIGN KEY(owner) REFERENCES owners (id)
);

CREATE INDEX ix_resets_expires_at ON resets (expires_at);

CREATE TABLE audit (
	id VARCHAR(36) NOT NULL, 
	at BIGINT NOT NULL, 
	actor VARCHAR(64) NOT NULL, 
	credential VARCHAR(64) NOT NULL, 
	action VARCHAR(64) NOT NULL, 
	target VARCHAR(200) NOT NULL, 
	detail TEXT NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	PRIMARY KEY (id)
);

CREATE INDEX ix_owners_parent ON owners (parent);

CREATE TABLE balances (
	owner VARCHAR(64) NOT NULL, 
	available BIGINT NOT NULL, 
	held BIGINT NOT NULL, 
	is_exempt BOOLEAN NOT NULL, 
	entries BIGINT NOT NULL, 
	PRIMARY KEY (owner), 
	CONSTRAINT ck_balances_available CHECK (available >= 0), 
	CONSTRAINT ck_balances_held CHECK (held >= 0), 
	FOREIGN KEY(owner) REFERENCES owners (id)
);

CREATE TABLE ledger (
	owner VARCHAR(64) NOT NULL, 
	number BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	available BIGINT NOT NULL, 
	held BIGINT NOT NULL, 
	balance BIGINT NOT NULL, 
	job_id VARCHAR(36), 
	actor VARCHAR(64) NOT NULL, 
	"key" VARCHAR(200), 
	note TEXT NOT NULL, 
	PRIMARY KEY (owner, number), 
	FOREIGN KEY(owner) REFERENCES owners (id)
);

CREATE UNIQUE INDEX ux_ledger_job ON ledger (job_id, kind) WHERE job_id IS NOT NULL;

CREATE UNIQUE INDEX ux_ledger_key ON ledger (actor, "key", kind) WHERE key IS NOT NULL;

CREATE INDEX ix_jobs_held ON jobs (owner) WHERE held IS NOT NULL;

CREATE TABLE counters (
	owner VARCHAR(64) NOT NULL, 
	kind VARCHAR(100) NOT NULL, 
	span BIGINT NOT NULL, 
	amount DOUBLE NOT NULL, 
	until BIGINT NOT NULL, 
	PRIMARY KEY (owner, kind, span)
);

CREATE INDEX ix_counters_until ON counters (until);

CREATE TABLE limits (
	owner VARCHAR(64) NOT NULL, 
	kind VARCHAR(100) NOT NULL, 
	amount DOUBLE NOT NULL, 
	PRIMARY KEY (owner, kind)
);

CREATE TABLE endpoints (
	id VARCHAR(36) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	url TEXT NOT NULL, 
	description VARCHAR(200) NOT NULL, 
	events TEXT NOT NULL, 
	secrets TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	failing_since BIGINT, 
	paused_at BIGINT, 
	pause_reason TEXT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(owner) REFERENCES owners (id)
);

CREATE INDEX ix_endpoints_owner ON endpoints (owner);

CREATE TABLE messages (
	id VARCHAR(40) NOT NULL, 
	endpoint_id VARCHAR(36) NOT NULL, 
	job_id VARCHAR(36), 
	seq INTEGER, 
	type VARCHAR(64) NOT NULL, 
	body TEXT, 
	created_at BIGINT NOT NULL, 
	due_at BIGINT, 
	tries INTEGER NOT NULL, 
	delivered_at BIGINT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(endpoint_id) REFERENCES endpoints (id) ON DELETE CASCADE
);

CREATE INDEX ix_messages_due ON messages (endpoint_id, due_at) WHERE due_at IS NOT NULL;

CREATE INDEX ix_messages_endpoint ON messages (endpoint_id, id);

CREATE INDEX ix_messages_order ON messages (endpoint_id, job_id, seq);

CREATE TABLE attempts (
	message_id VARCHAR(40) NOT NULL, 
	number INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	status INTEGER, 
	error TEXT, 
	took_ms INTEGER NOT NULL, request_body TEXT, exchange TEXT, 
	PRIMARY KEY (message_id, number), 
	FOREIGN KEY(message_id) REFERENCES messages (id) ON DELETE CASCADE
);

CREATE TABLE marks (
	name VARCHAR(64) NOT NULL, 
	mark VARCHAR(36) NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE decisions (
	id VARCHAR(36) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	at BIGINT NOT NULL, 
	job_id VARCHAR(36), 
	digest VARCHAR(64) NOT NULL, 
	verdict VARCHAR(16) NOT NULL, 
	rule VARCHAR(64) NOT NULL, 
	category VARCHAR(64) NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(owner) REFERENCES owners (id)
);

CREATE INDEX ix_decisions_at ON decisions (at);

CREATE INDEX ix_decisions_owner ON decisions (owner, id);

CREATE TABLE "workflows" (
	name VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	title VARCHAR(200) NOT NULL, 
	manifest TEXT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	created_at BIGINT NOT NULL, 
	deleted_at BIGINT, 
	owner VARCHAR(64) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_workflows PRIMARY KEY (owner, name, version)
);

CREATE INDEX ix_decisions_job ON decisions (job_id);

CREATE TABLE character_images (
	id VARCHAR(36) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	character_id VARCHAR(64) NOT NULL, 
	type VARCHAR(16) NOT NULL, 
	emotion VARCHAR(32) NOT NULL, 
	is_active BOOLEAN NOT NULL, 
	job_id VARCHAR(36) NOT NULL, 
	image_key VARCHAR(255) NOT NULL, 
	thumbnail_key VARCHAR(255) NOT NULL, 
	media_type VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	seed BIGINT, 
	created_at BIGINT NOT NULL, 
	deleted_at BIGINT, subject VARCHAR(16) DEFAULT 'character' NOT NULL, 
	PRIMARY KEY (id)
);

CREATE INDEX ix_character_images_image ON character_images (image_key);

CREATE INDEX ix_character_images_job ON character_images (job_id);

CREATE INDEX ix_character_images_thumbnail ON character_images (thumbnail_key);

CREATE TABLE provider_calls (
	id VARCHAR(36) NOT NULL, 
	provider VARCHAR(32) NOT NULL, 
	job_id VARCHAR(36) NOT NULL, 
	attempt INTEGER NOT NULL, 
	path VARCHAR(200) NOT NULL, 
	request_id VARCHAR(128), 
	cost BIGINT NOT NULL, 
	sent_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	outcome VARCHAR(32), 
	PRIMARY KEY (id)
);

CREATE INDEX ix_provider_calls_job ON provider_calls (job_id);

CREATE INDEX ix_provider_calls_sent ON provider_calls (provider, sent_at);

CREATE TABLE translations (
	"key" VARCHAR(64) NOT NULL, 
	body TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY ("key")
);

CREATE INDEX ix_translations_created_at ON translations (created_at);

CREATE TABLE reservations (
	owner VARCHAR(64) NOT NULL, 
	"key" VARCHAR(200) NOT NULL, 
	job_id VARCHAR(36) NOT NULL, 
	PRIMARY KEY (owner, "key"), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE INDEX ix_reservations_job ON reservations (job_id);

CREATE TABLE "model_library" (
	id VARCHAR(36) DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) NOT NULL, 
	owner VARCHAR(64) DEFAULT 'local' NOT NULL, 
	template_id VARCHAR(100) NOT NULL, 
	version INTEGER DEFAULT '1', 
	image_url TEXT NOT NULL, 
	thumbnail_url TEXT, 
	gender VARCHAR(20), 
	age_range VARCHAR(20), 
	body_type VARCHAR(20), 
	pose VARCHAR(50), 
	style VARCHAR(50), 
	prompt TEXT, 
	metadata TEXT DEFAULT '{}', 
	fal_request_id VARCHAR(100), 
	processing_time_ms INTEGER, 
	created_at BIGINT DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000000) NOT NULL, 
	job_id VARCHAR(36) DEFAULT '' NOT NULL, 
	image_key VARCHAR(255) DEFAULT '' NOT NULL, 
	thumbnail_key VARCHAR(255) DEFAULT '' NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_model_library_version UNIQUE (owner, template_id, version)
);

CREATE INDEX ix_model_library_image ON model_library (image_key);

CREATE INDEX ix_model_library_style ON model_library (style);

CREATE INDEX ix_model_library_gender ON model_library (gender);

CREATE INDEX ix_model_library_thumbnail ON model_library (thumbnail_key);

CREATE INDEX ix_model_library_owner ON model_library (owner, id);

CREATE INDEX ix_model_library_job ON model_library (job_id);

CREATE TABLE tickets (
	digest VARCHAR(64) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	account VARCHAR(64) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	credential VARCHAR(64) NOT NULL, 
	expires_at BIGINT NOT NULL, 
	PRIMARY KEY (digest), 
	FOREIGN KEY(owner) REFERENCES owners (id)
);

CREATE INDEX ix_tickets_expires_at ON tickets (expires_at);

CREATE TABLE processes (
	name VARCHAR(64) NOT NULL, 
	roles VARCHAR(64) NOT NULL, 
	queues TEXT, 
	host VARCHAR(255) NOT NULL, 
	pid INTEGER NOT NULL, 
	version VARCHAR(32) NOT NULL, 
	started_at BIGINT NOT NULL, 
	seen_at BIGINT NOT NULL, nodes TEXT, 
	PRIMARY KEY (name)
);

CREATE TABLE characters (
	owner VARCHAR(64) NOT NULL, 
	id VARCHAR(64) NOT NULL, 
	sheet TEXT NOT NULL, 
	from_request BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	PRIMARY KEY (owner, id)
);

CREATE INDEX ix_character_images_owner ON character_images (owner, subject, character_id, id);

CREATE UNIQUE INDEX ux_character_images_active ON character_images (owner, subject, character_id, type, emotion) WHERE is_active AND deleted_at IS NULL;

CREATE TABLE batches (
	id VARCHAR(36) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	dialect VARCHAR(32) NOT NULL, 
	document TEXT NOT NULL, 
	notes TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	deleted_at BIGINT, 
	PRIMARY KEY (id)
);

CREATE INDEX ix_batches_owner ON batches (owner, id);

CREATE TABLE batch_tags (
	batch VARCHAR(36) NOT NULL, 
	tag VARCHAR(200) NOT NULL, 
	PRIMARY KEY (batch, tag), 
	FOREIGN KEY(batch) REFERENCES batches (id) ON DELETE CASCADE
);

CREATE INDEX ix_batch_tags_tag ON batch_tags (tag, batch);

CREATE TABLE batch_callbacks (
	batch VARCHAR(36) NOT NULL, 
	number INTEGER NOT NULL, 
	url TEXT NOT NULL, 
	options TEXT NOT NULL, 
	cursor TEXT NOT NULL, 
	seen BIGINT NOT NULL, 
	due_at BIGINT, 
	tries INTEGER NOT NULL, 
	last_error TEXT, 
	PRIMARY KEY (batch, number), 
	FOREIGN KEY(batch) REFERENCES batches (id) ON DELETE CASCADE
);

CREATE INDEX ix_batch_callbacks_due ON batch_callbacks (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE pauses (
	id VARCHAR(36) NOT NULL, 
	scope VARCHAR(16) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	reason VARCHAR(500) NOT NULL, 
	actor VARCHAR(64) NOT NULL, 
	since BIGINT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX ux_pauses_name ON pauses (scope, name);

CREATE TABLE operations (
	id VARCHAR(36) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	actor VARCHAR(64) NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	filter TEXT NOT NULL, 
	change TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	position VARCHAR(36) NOT NULL, 
	chunk TEXT NOT NULL, 
	total INTEGER NOT NULL, 
	done INTEGER NOT NULL, 
	skipped INTEGER NOT NULL, 
	failed INTEGER NOT NULL, 
	samples TEXT NOT NULL, 
	starts_at BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	finished_at BIGINT, 
	PRIMARY KEY (id)
);

CREATE INDEX ix_operations_owner ON operations (owner, id);

CREATE INDEX ix_operations_actor ON operations (actor, id);

CREATE INDEX ix_operations_open ON operations (id) WHERE finished_at IS NULL;

CREATE INDEX ix_jobs_open ON jobs (owner, id) WHERE status IN ('waiting', 'queued', 'running');

CREATE INDEX ix_jobs_expiring ON jobs (expires_at, owner, status, recipe, lane) WHERE status IN ('waiting', 'queued');

CREATE INDEX ix_jobs_failed ON jobs (error_code, id, owner) WHERE status = 'failed';

CREATE INDEX ix_jobs_unsuccessful ON jobs (status, id, owner) WHERE status IN ('failed', 'canceled', 'expired');

CREATE INDEX ix_artifacts_owner ON artifacts (owner, created_at, id);

CREATE INDEX ix_artifacts_rating ON artifacts (owner, rating, created_at, id) WHERE rating IS NOT NULL;

CREATE TABLE ended_jobs (
	owner VARCHAR(64) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	recipe VARCHAR(64) NOT NULL, 
	lane INTEGER NOT NULL, 
	node VARCHAR(128) NOT NULL, 
	error_code VARCHAR(32) NOT NULL, 
	number BIGINT NOT NULL, 
	first_at BIGINT NOT NULL, 
	last_at BIGINT NOT NULL, 
	last_job VARCHAR(36) NOT NULL, 
	PRIMARY KEY (owner, status, recipe, lane, node, error_code)
);

CREATE TABLE statistics (
	span INTEGER NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	dimension VARCHAR(16) NOT NULL, 
	at BIGINT NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (span, owner, dimension, at, "key")
);

CREATE INDEX ix_statistics_at ON statistics (span, at);

CREATE INDEX ix_attempts_at ON attempts (at);

CREATE TABLE browser_sessions (
	id VARCHAR(36) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	credential VARCHAR(64) NOT NULL, 
	is_link BOOLEAN NOT NULL, 
	is_read_only BOOLEAN NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	browser VARCHAR(200) NOT NULL, 
	created_at BIGINT NOT NULL, 
	used_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	ends_at BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(owner) REFERENCES owners (id), 
	UNIQUE (digest)
);

CREATE INDEX ix_browser_sessions_owner ON browser_sessions (owner);

CREATE INDEX ix_browser_sessions_credential ON browser_sessions (credential);

CREATE INDEX ix_browser_sessions_expires_at ON browser_sessions (expires_at);

CREATE TABLE simulator_state (
	id VARCHAR(16) NOT NULL, 
	position INTEGER NOT NULL, 
	value TEXT NOT NULL, 
	hits BIGINT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE INDEX ix_artifacts_rated ON artifacts (rating, created_at, id) WHERE rating IS NOT NULL;

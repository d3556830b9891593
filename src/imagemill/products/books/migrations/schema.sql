-- revision 0002
CREATE TABLE alembic_version_books (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_books_pkc PRIMARY KEY (version_num)
);

CREATE TABLE book_manifests (
	digest VARCHAR(64) NOT NULL, 
	slug VARCHAR(63) NOT NULL, 
	body TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (digest)
);

CREATE TABLE book_personalizations (
	id VARCHAR(36) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	slug VARCHAR(63) NOT NULL, 
	manifest VARCHAR(64) NOT NULL, 
	profile VARCHAR(63) NOT NULL, 
	callback_url TEXT, 
	consent_who VARCHAR(200), 
	consent_at BIGINT, 
	child_name VARCHAR(200), 
	child_age INTEGER, 
	child_gender VARCHAR(16), 
	language VARCHAR(16), 
	reference_version INTEGER, 
	reference_approved_at BIGINT, 
	generated_at BIGINT, 
	unlocked_at BIGINT, 
	unlocked_by VARCHAR(64), 
	canceled_at BIGINT, 
	photo_deleted_at BIGINT, 
	deleted_at BIGINT, 
	erased_at BIGINT, 
	deletion TEXT, 
	resumes INTEGER NOT NULL, 
	problem TEXT, 
	due_at BIGINT, 
	created_at BIGINT NOT NULL, share_key VARCHAR(32), share_until BIGINT, 
	PRIMARY KEY (id)
);

CREATE INDEX ix_book_personalizations_owner ON book_personalizations (owner, id);

CREATE INDEX ix_book_personalizations_due ON book_personalizations (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX ix_book_personalizations_photo ON book_personalizations (created_at) WHERE photo_deleted_at IS NULL;

CREATE TABLE book_photos (
	personalization_id VARCHAR(36) NOT NULL, 
	character_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	media_type VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (personalization_id, character_id), 
	FOREIGN KEY(personalization_id) REFERENCES book_personalizations (id) ON DELETE CASCADE
);

CREATE INDEX ix_book_photos_key ON book_photos ("key");

CREATE TABLE book_analyses (
	personalization_id VARCHAR(36) NOT NULL, 
	character_id VARCHAR(32) NOT NULL, 
	usable BOOLEAN NOT NULL, 
	problem VARCHAR(32), 
	message TEXT, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (personalization_id, character_id), 
	FOREIGN KEY(personalization_id) REFERENCES book_personalizations (id) ON DELETE CASCADE
);

CREATE TABLE book_versions (
	personalization_id VARCHAR(36) NOT NULL, 
	page INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	seed BIGINT NOT NULL, 
	mode VARCHAR(16) NOT NULL, 
	choice TEXT NOT NULL, 
	feedback VARCHAR(400) NOT NULL, 
	cause VARCHAR(16) NOT NULL, 
	chosen_at BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (personalization_id, page, version), 
	FOREIGN KEY(personalization_id) REFERENCES book_personalizations (id) ON DELETE CASCADE
);

CREATE TABLE book_jobs (
	id VARCHAR(36) NOT NULL, 
	personalization_id VARCHAR(36) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	page INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	edition VARCHAR(64) NOT NULL, 
	resume INTEGER NOT NULL, 
	submitted BOOLEAN NOT NULL, 
	seen BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_book_jobs_work UNIQUE (personalization_id, kind, page, version, edition, resume), 
	FOREIGN KEY(personalization_id) REFERENCES book_personalizations (id) ON DELETE CASCADE
);

CREATE INDEX ix_book_jobs_unseen ON book_jobs (personalization_id) WHERE NOT seen;

CREATE TABLE book_files (
	personalization_id VARCHAR(36) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	page INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	edition VARCHAR(64) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	media_type VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (personalization_id, kind, page, version, edition), 
	FOREIGN KEY(personalization_id) REFERENCES book_personalizations (id) ON DELETE CASCADE
);

CREATE INDEX ix_book_files_key ON book_files ("key");

CREATE TABLE book_approvals (
	personalization_id VARCHAR(36) NOT NULL, 
	number INTEGER NOT NULL, 
	edition VARCHAR(64) NOT NULL, 
	at BIGINT NOT NULL, 
	who VARCHAR(200) NOT NULL, 
	profile VARCHAR(63) NOT NULL, 
	pages TEXT NOT NULL, 
	PRIMARY KEY (personalization_id, number), 
	FOREIGN KEY(personalization_id) REFERENCES book_personalizations (id) ON DELETE CASCADE
);

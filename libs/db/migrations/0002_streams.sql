CREATE TABLE "idempotency" (
	"owner" text DEFAULT '' NOT NULL,
	"key" text NOT NULL,
	"hash" text,
	"batch" uuid NOT NULL,
	"first" integer,
	"count" integer,
	"upload" integer,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "idempotency_owner_key_pk" PRIMARY KEY("owner","key")
);
--> statement-breakpoint
CREATE TABLE "uploads" (
	"no" integer PRIMARY KEY NOT NULL,
	"id" uuid NOT NULL,
	"seen" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"dead" boolean DEFAULT false NOT NULL,
	CONSTRAINT "uploads_id_unique" UNIQUE("id")
);
--> statement-breakpoint
CREATE INDEX "idempotency_expires" ON "idempotency" USING btree ("expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "batches_rolling" ON "batches" USING btree ("handler") WHERE "batches"."kind" = 'jobs' and not "batches"."sealed";
CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"hash" text NOT NULL,
	"name" text NOT NULL,
	"owner" text NOT NULL,
	"scopes" text[] NOT NULL,
	"rate" integer,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone,
	"revoked_at" timestamp with time zone
);
--> statement-breakpoint
DROP INDEX "batches_rolling";--> statement-breakpoint
CREATE INDEX "batches_listed" ON "batches" USING btree ("owner","id");--> statement-breakpoint
CREATE UNIQUE INDEX "batches_rolling" ON "batches" USING btree ("owner","handler") WHERE "batches"."kind" = 'jobs' and not "batches"."sealed";
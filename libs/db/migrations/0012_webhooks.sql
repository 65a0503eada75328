CREATE TABLE "webhooks" (
	"batch" integer PRIMARY KEY NOT NULL,
	"url" text NOT NULL,
	"host" text NOT NULL,
	"secret" text NOT NULL,
	"state" text DEFAULT 'waiting' NOT NULL,
	"delivery" uuid,
	"attempts" integer DEFAULT 0 NOT NULL,
	"since" timestamp with time zone,
	"last_status" integer,
	"last_error" text
);
--> statement-breakpoint
ALTER TABLE "batches" ADD COLUMN "tell_at" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "batches_to_tell" ON "batches" USING btree ("tell_at") WHERE "batches"."state" = 'completed' and "batches"."tell_at" is not null;
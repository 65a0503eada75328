ALTER TABLE "batches" ADD COLUMN "handler_pass" double precision;--> statement-breakpoint
ALTER TABLE "limits" ADD COLUMN "virtual" double precision DEFAULT 0 NOT NULL;
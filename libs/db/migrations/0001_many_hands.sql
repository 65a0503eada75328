CREATE TABLE "partials" (
	"no" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "partials_no_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"batch" integer NOT NULL,
	"partial" json NOT NULL
);
--> statement-breakpoint
CREATE TABLE "summaries" (
	"batch" integer PRIMARY KEY NOT NULL,
	"version" integer NOT NULL,
	"folded" json NOT NULL
);
--> statement-breakpoint
ALTER TABLE "chunks" ADD COLUMN "srcs" integer[];--> statement-breakpoint
ALTER TABLE "results" ADD COLUMN "fingerprint" text;--> statement-breakpoint
ALTER TABLE "workers" ADD COLUMN "pins" smallint[];--> statement-breakpoint
ALTER TABLE "workers" ADD COLUMN "helping" uuid;--> statement-breakpoint
CREATE INDEX "partials_batch" ON "partials" USING btree ("batch");
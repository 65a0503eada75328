DROP INDEX "partials_batch";--> statement-breakpoint
CREATE INDEX "partials_batch" ON "partials" USING btree ("batch","no");
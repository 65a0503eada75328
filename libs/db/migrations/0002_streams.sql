CREATE TABLE "uploads" (
	"no" integer PRIMARY KEY NOT NULL,
	"id" uuid NOT NULL,
	"seen" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"dead" boolean DEFAULT false NOT NULL,
	CONSTRAINT "uploads_id_unique" UNIQUE("id")
);

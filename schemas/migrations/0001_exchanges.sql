-- Which exchange an id in the other tables means. `marketflow init` fills it from pipeline.yaml.
CREATE TABLE dim_exch (
    exchange_id smallint PRIMARY KEY,
    code text NOT NULL UNIQUE,
    name text NOT NULL,
    region text NOT NULL
);

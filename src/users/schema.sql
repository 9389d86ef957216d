-- coturn's user database, for SQLite, PostgreSQL, MySQL and MariaDB. SQLite files get it by themselves.
create table if not exists turnusers_lt (
    realm varchar(127) default '',
    name varchar(512),
    hmackey char(128),
    primary key (realm, name)
);
create table if not exists turn_secret (
    realm varchar(127) default '',
    value varchar(256),
    primary key (realm, value)
);
create table if not exists allowed_peer_ip (
    realm varchar(127) default '',
    ip_range varchar(256),
    primary key (realm, ip_range)
);
create table if not exists denied_peer_ip (
    realm varchar(127) default '',
    ip_range varchar(256),
    primary key (realm, ip_range)
);
create table if not exists turn_origin_to_realm (
    origin varchar(127),
    realm varchar(127),
    primary key (origin)
);
create table if not exists turn_realm_option (
    realm varchar(127) default '',
    opt varchar(32),
    value varchar(128),
    primary key (realm, opt)
);
create table if not exists oauth_key (
    kid varchar(128),
    ikm_key varchar(256),
    timestamp bigint default 0,
    lifetime integer default 0,
    as_rs_alg varchar(64) default '',
    realm varchar(127) default '',
    primary key (kid)
);
create table if not exists admin_user (
    name varchar(32),
    realm varchar(127),
    password varchar(127),
    primary key (name)
);

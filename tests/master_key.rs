//! Master keys that change, and that are missing.

use std::{fs, path::PathBuf, sync::Arc};

use posthorn::v1::DeliveryState;
use posthorn_harness::{
    ControlPlaneOptions, CreateEndpointResponse, Deployment, Sql, StoreKind,
};

use super::support::{
    DEADLINE,
    follow::{await_state, delivery_of},
    restart::restart,
};

on_both! {
    a_new_master_key_takes_over_and_the_old_one_can_go,
    without_its_master_key_an_endpoint_waits_until_the_key_is_back,
}

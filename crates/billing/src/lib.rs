//! Completed steps become units and a price.

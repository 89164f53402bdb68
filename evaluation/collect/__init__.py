"""Makes a data set of web images as the paper did: from a list of sites, politely, with where each image came from."""
